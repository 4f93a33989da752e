"""A small random network with its gene list and a dataset."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture
def small():
    import scipy.sparse as sp
    import torch

    from sceval.data.genes import Genes
    from sceval.models.scfoundation.config import ScFoundationConfig
    from sceval.models.scfoundation.network import ScFoundation
    from sceval.models.scfoundation.vocabulary import Vocabulary

    def make(n_cells=20, n_genes=30, seed=0):
        vocabulary = Vocabulary(tuple(f"GENE{i}" for i in range(n_genes)))
        config = ScFoundationConfig(
            n_genes=n_genes,
            d_model=8,
            n_layers=2,
            n_heads=2,
            d_ff=16,
            n_bins=10,
            decoder_width=12,
            decoder_layers=2,
            decoder_heads=3,
            decoder_head_width=4,
            decoder_ff=24,
            n_features=6,
        )
        torch.manual_seed(seed)
        network = ScFoundation(config).eval()
        rng = np.random.default_rng(seed)
        counts = sp.csr_matrix(rng.poisson(rng.gamma(0.4, 3.0, (n_cells, n_genes))).astype(np.float32))
        return SimpleNamespace(
            network=network,
            vocabulary=vocabulary,
            counts=counts,
            genes=Genes.from_symbols(vocabulary.genes),
            cells=[f"cell{i}" for i in range(n_cells)],
            rng=rng,
        )

    return make
