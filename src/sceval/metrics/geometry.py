"""A geometry metric beside the composite scores: whether the embedding keeps each batch's own neighbourhoods.

Islands of labels score high on every scIB metric and destroy the geometry (Wang, Leskovec and Regev 2025).
"""

from __future__ import annotations

import numpy as np

from sceval.metrics.neighbors import knn

_K = 15


def neighbor_overlap(X: np.ndarray, pre: np.ndarray, batches: np.ndarray, k: int = _K) -> np.ndarray:
    """Jaccard index of each cell's ``k`` nearest other cells in the embedding and before integration, inside its batch.

    Parameters
    ----------
    X, pre
        Embedding and unintegrated principal components, cells x dimensions.
    batches
        Batch codes. Batches of at most 2k cells give NaN: there, any two lists overlap by chance.
    k
        Neighbours, the cell itself not counted.

    Returns
    -------
    overlap
        0 to 1 per cell. Inside a batch there is no batch effect to remove, so what changes there is structure lost.
        Source: after Yi et al. 2025 (scIB-E), on directed neighbour lists.
    """
    out = np.full(len(batches), np.nan)
    for batch in np.unique(batches):
        rows = np.flatnonzero(batches == batch)
        if len(rows) <= 2 * k:
            continue
        after, before = knn(X[rows], k + 1)[0][:, 1:], knn(pre[rows], k + 1)[0][:, 1:]
        both = np.sort(np.concatenate([after, before], axis=1), axis=1)
        shared = (both[:, 1:] == both[:, :-1]).sum(axis=1)
        out[rows] = shared / (2 * k - shared)
    return out
