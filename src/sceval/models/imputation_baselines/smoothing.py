"""Smoothing over neighbor cells: their mean, and diffusion as in MAGIC."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.models.imputation_baselines.normalized import graph, neighbors, shares, totals


def knn_mean(X: sparse.csr_matrix, n_components: int, k: int, seed: int) -> np.ndarray:
    """Counts of a cell and its k - 1 nearest summed, over their summed totals, times the cell's own total: n x g.

    Summing counts before dividing weighs cells by their depth, as kNN-smoothing does (Wagner et al. 2018).
    """
    indices, _ = neighbors(X, n_components, k, seed)
    near = graph(indices, np.ones(indices.shape))
    pooled = np.asarray((near @ X).todense(), np.float64)
    return pooled * (totals(X) / (near @ totals(X)))[:, None]


def diffusion(X: sparse.csr_matrix, n_components: int, k: int, steps: int, seed: int) -> np.ndarray:
    """Shares of the cells diffused over their neighbors, times the cell's total: n x g.

    As MAGIC (van Dijk et al. 2018, Cell 174:716): Gaussian affinities, as wide as the distance to the k/3-th neighbor,
    symmetric, rows to sum 1, the matrix to the power `steps`. No rescaling to the highest value.
    """
    indices, distances = neighbors(X, n_components, k, seed)
    width = np.maximum(distances[:, min(max(k // 3, 1), distances.shape[1] - 1)], 1e-12)
    affinity = graph(indices, np.exp(-((distances / width[:, None]) ** 2)))
    affinity = affinity + affinity.T
    step = sparse.diags(1 / np.asarray(affinity.sum(axis=1)).ravel()) @ affinity
    out = np.asarray(shares(X).todense(), np.float64)
    for _ in range(steps):
        out = step @ out
    return out * totals(X)[:, None]
