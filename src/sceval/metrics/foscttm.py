"""Paired multi-omic integration: fraction of samples closer than the true match, and match at k."""

from __future__ import annotations

import numpy as np

from sceval.metrics.neighbors import as_matrix


def closer_counts(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each cell, how many cells of the other modality are strictly nearer to it than its own partner.

    See `closer_and_tied`.
    """
    return closer_and_tied(x, y)[0]


def closer_and_tied(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cell, how many cells of the other modality are strictly nearer than its partner, and how many as near.

    Parameters
    ----------
    x, y
        Embeddings of the two modalities, row i of both being the same cell.

    Returns
    -------
    closer, tied
        int64, from x to y; the partner itself is not counted. Euclidean, float64; near-ties are settled by the
        differences themselves.
    """
    x, y = as_matrix(x), as_matrix(y)
    if x.shape != y.shape:
        raise ValueError(f"paired embeddings have the same shape; these have {x.shape} and {y.shape}")
    center = y.mean(axis=0)
    a, b = x - center, y - center
    norms = np.einsum("ij,ij->i", b, b)
    own = np.einsum("ij,ij->i", x - y, x - y)
    counts, tied = np.empty(len(x), dtype=np.int64), np.empty(len(x), dtype=np.int64)
    block = max(1, 4_000_000 // len(x))
    for low in range(0, len(x), block):
        part = slice(low, min(low + block, len(x)))
        length = np.einsum("ij,ij->i", a[part], a[part])
        squared = length[:, None] + norms - 2.0 * (a[part] @ b.T)
        gap = squared - own[part, None]
        margin = 1e-13 * (length[:, None] + norms)
        counts[part] = (gap < -margin).sum(axis=1)
        i, j = np.nonzero(np.abs(gap) <= margin)
        exact = _squared(x, y, low + i, j)
        counts[part] += np.bincount(i, weights=exact < own[low + i], minlength=len(length)).astype(np.int64)
        tied[part] = np.bincount(i, weights=exact == own[low + i], minlength=len(length)).astype(np.int64) - 1
    return counts, tied


def _squared(x: np.ndarray, y: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Squared distances of pairs of rows, in blocks: an embedding of few points has near-ties without end."""
    out = np.empty(len(i))
    step = max(1, 20_000_000 // x.shape[1])
    for low in range(0, len(i), step):
        difference = x[i[low : low + step]] - y[j[low : low + step]]
        out[low : low + step] = np.einsum("ij,ij->i", difference, difference)
    return out


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


def fair_shares(x: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """FOSCTTM and match at k of each cell from x to y where ties are worth nothing.

    With strict counting an embedding that puts each modality on one point is perfect, as no cell is *nearer* than the
    partner. Here cells as near as the partner count half for FOSCTTM, and a match at k has the chance of an order
    drawn at random among them. Without ties both are the usual ones.

    Returns
    -------
    share, match
        For each row of x; 0 to 1.
    """
    closer, tied = closer_and_tied(x, y)
    share = (closer + tied / 2.0) / max(len(x) - 1.0, 1.0)
    return share, np.clip((k - closer) / (tied + 1.0), 0.0, 1.0)


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
