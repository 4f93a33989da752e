"""The parity fixture (where present), and small random checkpoints of both versions with a dataset that fits them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURE = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "geneformer"


def _model_folder(folder):
    """The folder of the masked-token model: the one that is not the classifier."""
    found = [path.parent for path in folder.glob("*/config.json") if path.parent.name != "cell_classifier"]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="session", params=["v1", "v2"])
def parity(request):
    """Model folder, classifier folder, sizes, a reader of the expected arrays, and the input of one style."""
    folder = FIXTURE / request.param
    if not (folder / "meta.json").is_file():
        pytest.skip("no ../shared/parity/geneformer beside the repository")
    import anndata

    from sceval.data.genes import Genes

    data = anndata.read_h5ad(FIXTURE / "input.h5ad")
    cache = {}

    def expected(name):
        if name not in cache:
            with np.load(folder / f"{name}.npz") as content:
                cache[name] = {key: content[key] for key in content.files}
        return cache[name]

    return SimpleNamespace(
        style=request.param,
        folder=folder,
        model=_model_folder(folder),
        classifier=folder / "cell_classifier",
        meta=json.loads((folder / "meta.json").read_text()),
        expected=expected,
        counts=data.X.tocsr(),
        totals=data.obs["n_counts"].to_numpy(float),
        genes=Genes([str(s) for s in data.var["gene_symbol"]], [str(e) for e in data.var["ensembl_id"]]),
        cells=[str(c) for c in data.obs_names],
    )


@pytest.fixture
def small():
    """Build a small random network, its vocabulary and a matching dataset of counts with many ties."""
    import scipy.sparse as sp
    import torch

    from sceval.data.genes import Genes
    from sceval.models.geneformer.checkpoint import new
    from sceval.models.geneformer.tokens import tokenize

    def make(n_cells=20, n_genes=30, seed=0, **settings):
        ensembl = [f"ENSG{i:011d}" for i in range(n_genes)]
        genes = Genes([f"GENE{i}" for i in range(n_genes)], ensembl)
        rng = np.random.default_rng(seed)
        counts = sp.csr_matrix(rng.poisson(rng.gamma(0.5, 3.0, (n_cells, n_genes))).astype(np.float32))
        settings = {"width": 16, "n_heads": 2, "n_layers": 2, "d_ff": 24, "max_tokens": 12, **settings}
        made = new(genes, settings, seed)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in made.network.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        cells = [f"cell{i}" for i in range(n_cells)]
        tokens = tokenize(counts, genes, cells, made.vocabulary, settings, seed)
        return SimpleNamespace(
            network=made.network,
            vocabulary=made.vocabulary,
            tokens=tokens,
            settings=settings,
            genes=genes,
            counts=counts,
            cells=cells,
            rng=rng,
        )

    return make
