"""Both Performer language models: small random ones with a dataset, and their folders."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

SIZES = {"dim": 12, "depth": 3, "heads": 2, "dim_head": 4, "n_features": 6, "head_width": 8}


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["scbert", "cellm"])
def model(request):
    """Name, modules, and makers of a random network, of its saved folder, and of its tokens."""
    name = request.param
    checkpoint, tokens = (import_module(f"sceval.models.{name}.{part}") for part in ("checkpoint", "tokens"))
    from sceval.data.genes import Genes

    rng = np.random.default_rng(1)
    genes = Genes.from_symbols([f"GENE{i}" for i in range(30)])
    counts = sp.csr_matrix(rng.poisson(rng.gamma(0.4, 3.0, (24, 30))).astype(np.float32))
    cells = [f"cell{i}" for i in range(24)]

    def make(seed=0, **settings):
        import torch

        loaded = checkpoint.new(genes, {**SIZES, **settings}, seed)
        with torch.no_grad():
            for parameter in loaded.network.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
            loaded.network.pos_emb.weight[-1] = 0.0
        return loaded

    def tokenize(vocabulary, rows=None, columns=None, **settings):
        rows = np.arange(len(cells)) if rows is None else np.asarray(rows)
        columns = np.arange(len(genes)) if columns is None else np.asarray(columns)
        own = Genes.from_symbols([genes.symbols[i] for i in columns])
        fit_rows = settings.pop("fit_rows", None)
        part = counts[rows][:, columns]
        return tokens.tokenize(part, own, [cells[i] for i in rows], vocabulary, settings, 0, fit_rows=fit_rows)

    def vectors(network, made, rows):
        import torch

        with torch.no_grad():
            return network.encode({k: torch.from_numpy(v) for k, v in made.batch(np.asarray(rows)).items()}).numpy()

    return SimpleNamespace(
        name=name,
        checkpoint=checkpoint,
        make=make,
        tokenize=tokenize,
        vectors=vectors,
        genes=genes,
        counts=counts,
        cells=cells,
    )
