"""Paired multi-omic integration: fraction of samples closer than the true match, and match at k."""

from __future__ import annotations

import numpy as np

from sceval.metrics.neighbors import as_matrix


def closer_counts(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each cell, how many cells of the other modality are strictly nearer to it than its own partner.

    Parameters
    ----------
    x, y
        Embeddings of the two modalities, row i of both being the same cell.

    Returns
    -------
    counts
        int64, from x to y. Euclidean, float64; near-ties are settled by the differences themselves.
    """
    x, y = as_matrix(x), as_matrix(y)
    if x.shape != y.shape:
        raise ValueError(f"paired embeddings have the same shape; these have {x.shape} and {y.shape}")
    center = y.mean(axis=0)
    a, b = x - center, y - center
    norms = np.einsum("ij,ij->i", b, b)
    own = np.einsum("ij,ij->i", x - y, x - y)
    counts = np.empty(len(x), dtype=np.int64)
    block = max(1, 4_000_000 // len(x))
    for low in range(0, len(x), block):
        part = slice(low, min(low + block, len(x)))
        length = np.einsum("ij,ij->i", a[part], a[part])
        squared = length[:, None] + norms - 2.0 * (a[part] @ b.T)
        gap = squared - own[part, None]
        margin = 1e-13 * (length[:, None] + norms)
        counts[part] = (gap < -margin).sum(axis=1)
        i, j = np.nonzero(np.abs(gap) <= margin)
        exact = np.einsum("ij,ij->i", x[low + i] - y[j], x[low + i] - y[j])
        counts[part] += np.bincount(i, weights=exact < own[low + i], minlength=len(length)).astype(np.int64)
    return counts


def foscttm(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """FOSCTTM, 0 (perfect) to 1, one half by chance.

    Parameters
    ----------
    x, y
        Paired embeddings, cells x dimensions.

    Returns
    -------
    value, shares
        Mean of count / (N - 1) over cells and the two directions (GLUE divides by N), and the shares themselves, 2 x
        cells: x to y, y to x. Source: Liu et al. 2019 (MMD-MA); Singh et al. 2020 (SCOT).
    """
    shares = np.stack([closer_counts(x, y), closer_counts(y, x)]) / (len(x) - 1.0)
    return float(shares.mean()), shares


def match_at_k(counts: np.ndarray, k: int) -> float:
    """Share of cells whose partner is among the ``k`` nearest; k / N by chance.

    Parameters
    ----------
    counts
        Numbers of closer cells (``closer_counts``), of one direction or both stacked.
    k
        Fewer than ``k`` cells are closer.
    """
    return float(np.mean(counts < k))
