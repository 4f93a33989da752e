"""The parity fixture (where present), and small random checkpoints of both versions with a dataset that fits them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURE = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "geneformer"


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
        )

    return make


V1_SPECIALS, V2_SPECIALS = ("<pad>", "<mask>"), ("<pad>", "<mask>", "<cls>", "<eos>")


@pytest.fixture
def official(tmp_path):
    """Write a folder as the official repository has it: models of both versions, dictionaries where they lie there.

    Returns a namespace of the root and the two model folders; V1 knows genes 0 to 11, V2 genes 4 to 15 of `ENSG...`,
    and the medians of V2 cover more genes than its tokens.
    """
    import torch

    from sceval.models.geneformer.checkpoint import save
    from sceval.models.geneformer.config import GeneformerConfig
    from sceval.models.geneformer.dictionaries import Dictionaries, write_dictionaries
    from sceval.models.geneformer.network import Network
    from sceval.models.geneformer.vocabulary import Vocabulary

    def ids(numbers):
        return [f"ENSG{i:011d}" for i in numbers]

    def model(name, genes, specials, suffix, place, extra):
        tokens = {token: i for i, token in enumerate((*specials, *genes))}
        mapping = {gene: gene for gene in genes} | {"OLDNAME": genes[0], "ENSG00000099999": genes[1]}
        medians = {gene: 1.0 + i / 7 for i, gene in enumerate(genes + extra)}
        content = Dictionaries(tokens, medians, mapping, {"SYMBOL2": genes[2]}, suffix)
        config = GeneformerConfig(
            n_tokens=len(tokens), width=16, n_layers=2, n_heads=2, d_ff=24, max_positions=10, cls_id=tokens.get("<cls>")
        )
        torch.manual_seed(len(specials))
        network = Network(config)
        save(tmp_path / name, network, Vocabulary(content, config.max_positions))
        for path in (tmp_path / name).glob("*.pkl"):
            path.unlink()
        place.mkdir(parents=True, exist_ok=True)
        write_dictionaries(place, content)
        return tmp_path / name

    code = tmp_path / "geneformer"
    return SimpleNamespace(
        root=tmp_path,
        v1=model("Geneformer-V1-10M", ids(range(12)), V1_SPECIALS, "gc30M", code / "gene_dictionaries_30m", []),
        v2=model("Geneformer-V2-104M", ids(range(4, 15)), V2_SPECIALS, "gc104M", code, ids(range(15, 18))),
        d1=code / "gene_dictionaries_30m",
        d2=code,
    )
