"""A picture of an embedding in two dimensions, for the report; no metric reads it."""

from __future__ import annotations

import random

import numpy as np


def umap_layout(indices: np.ndarray, distances: np.ndarray, seed: int = 0, epochs: int = 120) -> np.ndarray:
    """Lay out a neighbour list in the plane.

    Parameters
    ----------
    indices, distances
        Cells x k, the cell itself in column 0 (the scorer's first 15 neighbours serve).
    seed
        The same seed gives the same picture.
    epochs
        Rounds of the optimisation.

    Returns
    -------
    positions
        float32, cells x 2. Source: McInnes et al. 2018 (UMAP), as igraph implements it.
    """
    import igraph

    n, k = indices.shape
    source, target = np.repeat(np.arange(n), k - 1), indices[:, 1:].ravel()
    low, high = np.minimum(source, target), np.maximum(source, target)
    # A pair that names each other is one edge; its two distances are equal.
    key, first = np.unique(low * n + high, return_index=True)
    graph = igraph.Graph(n=n, edges=np.column_stack(np.divmod(key, n)), directed=False)
    start = np.random.default_rng(seed).uniform(-5, 5, size=(n, 2))
    igraph.set_random_number_generator(random.Random(seed))
    try:
        layout = graph.layout_umap(
            dist=distances[:, 1:].ravel()[first].tolist(), dim=2, seed=start.tolist(), min_dist=0.1, epochs=epochs
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(layout.coords, dtype=np.float32)
