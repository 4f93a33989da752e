"""Parity fixtures (where present) and small random checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURES = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "scgpt"


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def parity():
    """Folder, settings and a reader of the expected arrays."""
    if not (FIXTURES / "expected" / "settings.json").is_file():
        pytest.skip("no ../shared/parity/scgpt beside the repository")
    cache = {}

    def expected(name):
        if name not in cache:
            with np.load(FIXTURES / "expected" / f"{name}.npz") as content:
                cache[name] = {key: content[key] for key in content.files}
        return cache[name]

    settings = json.loads((FIXTURES / "expected" / "settings.json").read_text())
    return SimpleNamespace(folder=FIXTURES, settings=settings, expected=expected)


@pytest.fixture(scope="session")
def parity_input(parity):
    """Counts (CSR), symbols and cell ids of the fixture's dataset."""
    import anndata

    data = anndata.read_h5ad(parity.folder / "input.h5ad")
    return SimpleNamespace(counts=data.X.tocsr(), symbols=list(data.var["feature_name"]), cells=list(data.obs_names))


@pytest.fixture(scope="session")
def close():
    """Largest difference relative to the largest magnitude, where the expected value is finite."""

    def check(actual, expected, limit=1e-4):
        actual = np.asarray(actual.detach() if hasattr(actual, "detach") else actual, dtype=np.float64)
        expected = np.asarray(expected, dtype=np.float64)
        assert actual.shape == expected.shape
        finite = np.isfinite(expected)
        assert finite.any()
        scale = np.abs(expected[finite]).max()
        error = np.abs(actual[finite] - expected[finite]).max()
        assert error <= limit * scale, f"relative error {error / scale if scale else error:.3g} above {limit:g}"

    return check


@pytest.fixture
def small():
    """Build a small random network, its vocabulary and a matching dataset of counts."""
    import scipy.sparse as sp
    import torch

    from sceval.models.scgpt.config import ScGPTConfig
    from sceval.models.scgpt.network import ScGPT
    from sceval.models.scgpt.vocabulary import Vocabulary

    def make(n_cells=24, n_genes=30, seed=0, **changes):
        symbols = [f"GENE{i}" for i in range(n_genes)]
        vocabulary = Vocabulary.from_genes(symbols)
        sizes = {"d_model": 16, "n_heads": 2, "d_ff": 16, "n_layers": 2, "dropout": 0.0, **changes}
        torch.manual_seed(seed)
        model = ScGPT(ScGPTConfig(n_tokens=len(vocabulary), pad_id=vocabulary.pad_id, **sizes))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        rng = np.random.default_rng(seed)
        counts = sp.csr_matrix(rng.poisson(rng.gamma(0.5, 3.0, (n_cells, n_genes))).astype(np.float32))
        cells = [f"cell{i}" for i in range(n_cells)]
        return SimpleNamespace(
            model=model.eval(), vocabulary=vocabulary, counts=counts, symbols=symbols, cells=cells, rng=rng
        )

    return make


@pytest.fixture(scope="session")
def session_of():
    """Build the session of a verb from arrays, with a checkpoint folder or a network that is there already."""
    from sceval.data.genes import Genes
    from sceval.models.scgpt.program import MODEL
    from sceval.models.transformer.loading import Loaded
    from sceval.models.transformer.session import Session

    def make(verb, regime, counts, symbols, cells, *, weights=None, network=None, seed=0, **params):
        genes = Genes.from_symbols(symbols)
        session = Session.of_arrays(MODEL, verb, regime, counts, genes, cells, weights=weights, given=params, seed=seed)
        if network is not None:
            session.adopt(Loaded(*network))
        return session

    return make
