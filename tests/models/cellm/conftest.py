"""The official code's numbers, where they are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURES = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "cellm"


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
    """Folder, reader of expected arrays, counts, genes and settings that follow the official code."""
    if not (FIXTURES / "forward.npz").is_file():
        pytest.skip("no ../shared/parity/cellm beside the repository")
    import anndata

    from sceval.data.genes import Genes

    data = anndata.read_h5ad(FIXTURES / "input.h5ad")
    cache = {}

    def expected(name):
        if name not in cache:
            with np.load(FIXTURES / f"{name}.npz", allow_pickle=False) as content:
                cache[name] = {key: content[key] for key in content.files}
        return cache[name]

    return SimpleNamespace(
        folder=FIXTURES,
        expected=expected,
        counts=data.X.tocsr(),
        genes=Genes.from_symbols(data.var_names),
        cells=list(data.obs_names),
    )


@pytest.fixture(scope="session")
def official(parity):
    """Load a file of the fixture, with changed settings, and tokenize the fixture's cells."""
    from sceval.models.cellm import checkpoint, tokens

    def make(weights_file="checkpoint4_fixed.pth", **settings):
        loaded = checkpoint.load(parity.folder, {"weights_file": weights_file, **settings}, seed=0)
        made = tokens.tokenize(parity.counts, parity.genes, parity.cells, loaded.vocabulary, settings, 0)
        return SimpleNamespace(network=loaded.network, vocabulary=loaded.vocabulary, tokens=made, report=loaded.report)

    return make
