"""The parity fixture (where present), and a small random checkpoint with a dataset that fits it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURE = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "tgpt"
OFFICIAL = "transcriptome-gpt-1024-8-16-64"


@pytest.fixture(scope="session")
def parity():
    """Folder, a reader of the expected arrays, the counts and the genes."""
    if not (FIXTURE / "tokens.npz").is_file():
        pytest.skip("no ../shared/parity/tgpt beside the repository")
    import anndata

    from sceval.data.genes import Genes

    data = anndata.read_h5ad(FIXTURE / "input.h5ad")

    def expected(name):
        with np.load(FIXTURE / f"{name}.npz") as content:
            return {key: content[key] for key in content.files}

    return SimpleNamespace(
        folder=FIXTURE,
        official=FIXTURE / OFFICIAL,
        expected=expected,
        max_length=json.loads((FIXTURE / "meta.json").read_text())["max_len"],
        counts=data.X.tocsr(),
        genes=Genes([str(s) for s in data.var["gene_symbol"]], [str(e) for e in data.var["ensembl_id"]]),
        cells=[str(c) for c in data.obs_names],
    )


@pytest.fixture
def small():
    """Build a small random network, its vocabulary and a matching dataset of counts with many ties."""
    import scipy.sparse as sp

    from sceval.data.genes import Genes
    from sceval.models.tgpt.checkpoint import new

    def make(n_cells=20, n_genes=30, seed=0, **settings):
        names = ["HLA-DRA", "RPL10", "MT-CO1", *(f"GENE{i}" for i in range(n_genes - 3))]
        genes = Genes.from_symbols(names)
        rng = np.random.default_rng(seed)
        counts = sp.csr_matrix(rng.poisson(rng.gamma(0.5, 3.0, (n_cells, n_genes))).astype(np.float32))
        settings = {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_length": 12, "dropout": 0.0, **settings}
        made = new(genes, settings, seed)
        return SimpleNamespace(
            network=made.network,
            vocabulary=made.vocabulary,
            settings=settings,
            genes=genes,
            counts=counts,
            cells=[f"cell{i}" for i in range(n_cells)],
            rng=rng,
        )

    return make
