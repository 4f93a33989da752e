from __future__ import annotations

import numpy as np

from sceval.metrics.layout import umap_layout
from sceval.metrics.neighbors import knn


def test_layout_is_seeded_and_keeps_groups_apart():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 5)), rng.normal(size=(60, 5)) + 20])
    lists = knn(X, 15)
    positions = umap_layout(*lists, seed=1)
    assert positions.shape == (120, 2)
    assert np.isfinite(positions).all()
    assert np.array_equal(positions, umap_layout(*lists, seed=1))
    near = knn(positions, 6)[0][:, 1:]
    assert np.mean((near < 60) == (np.arange(120) < 60)[:, None]) > 0.98
