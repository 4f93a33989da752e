"""Silhouettes of labels and of batches inside labels, from one blocked pass over the distances; BRAS in linear time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sceval.metrics.neighbors import THREADS, as_matrix


def group_distance_sums(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sum of the Euclidean distances from each cell to all cells of each group.

    Parameters
    ----------
    X
        Embedding, cells x dimensions.
    groups
        Group codes from 0, one per cell.

    Returns
    -------
    sums
        float64, cells x groups. Never holds more than a block of distances.
    """
    X = as_matrix(X)
    n, n_groups = len(X), int(groups.max()) + 1
    order = np.argsort(groups, kind="stable")
    # From the first cell first: a constant embedding then becomes exactly 0 and not rounding noise.
    Y = X[order] - X[order[0]]
    Y -= Y.mean(axis=0)
    norms = np.einsum("ij,ij->i", Y, Y)
    counts = np.bincount(groups, minlength=n_groups)
    present = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[present]
    sums = np.zeros((n, n_groups))
    block = max(1, min(256, 8_000_000 // n))

    def work(low: int) -> None:
        high = min(low + block, n)
        d = Y[low:high] @ Y.T
        d *= -2.0
        d += norms[low:high, None]
        d += norms
        np.maximum(d, 0.0, out=d)
        np.sqrt(d, out=d)
        d[np.arange(high - low), np.arange(low, high)] = 0.0
        sums[order[low:high, None], present] = np.add.reduceat(d, starts, axis=1)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(0, n, block)))
    return sums


def silhouette_samples(sums: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Silhouette of each cell, -1 to 1: (b - a) / max(a, b).

    Parameters
    ----------
    sums
        Distance sums to each group, cells x groups.
    groups
        Group codes, one per cell.

    Returns
    -------
    silhouettes
        a: mean distance to the own group without the cell itself; b: smallest mean distance to another group. 0 for
        a group of one cell and where all distances are 0. Source: Rousseeuw 1987.
    """
    n = len(groups)
    counts = np.bincount(groups, minlength=sums.shape[1]).astype(float)
    own = sums[np.arange(n), groups]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(counts > 0, sums / counts, np.inf)
        a = own / (counts[groups] - 1)
        means[np.arange(n), groups] = np.inf
        b = means.min(axis=1)
        s = (b - a) / np.maximum(a, b)
    return np.where((counts[groups] > 1) & np.isfinite(s), s, 0.0)


def batch_silhouettes(sums: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """``1 - |silhouette|`` of the batch inside each cell's label; NaN for labels of one batch or of as many as cells.

    Parameters
    ----------
    sums
        Distance sums to each pair (label, batch), column ``label * n_batches + batch``.
    labels, batches
        Codes, one per cell. Source: Luecken et al. 2022 (scIB); mean over cells of a label, then over labels.
    """
    n_batches = int(batches.max()) + 1
    out = np.full(len(labels), np.nan)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        kinds = len(np.unique(batches[rows]))
        if kinds == 1 or kinds == len(rows):
            continue
        inside = sums[rows, label * n_batches : (label + 1) * n_batches]
        out[rows] = 1.0 - np.abs(silhouette_samples(inside, batches[rows]))
    return out


def bras_samples(X: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Batch removal adapted silhouette per cell: cosine distance, and b the mean over *all cells* of the other batches.

    Parameters
    ----------
    X
        Embedding, cells x dimensions. A row of zeros has no direction: its cosine to every cell counts as 0.
    labels, batches
        Codes, one per cell.

    Returns
    -------
    values
        ``1 - |s|``, NaN for labels with one batch or as many as cells. A mean of cosine distances is one product with
        a mean vector, so this costs cells x dimensions. Source: Rautenstrauch and Ohler 2025.
    """
    X = as_matrix(X)
    length = np.linalg.norm(X, axis=1, keepdims=True)
    U = np.divide(X, length, out=np.zeros_like(X), where=length > 0)
    own = np.einsum("ij,ij->i", U, U)
    out = np.full(len(labels), np.nan)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        kinds, code = np.unique(batches[rows], return_inverse=True)
        if len(kinds) == 1 or len(kinds) == len(rows):
            continue
        part = U[rows]
        counts = np.bincount(code).astype(float)
        totals = np.zeros((len(kinds), part.shape[1]))
        np.add.at(totals, code, part)
        products = part @ totals.T
        inside = products[np.arange(len(rows)), code]
        outside = products.sum(axis=1) - inside
        with np.errstate(divide="ignore", invalid="ignore"):
            a = 1.0 - (inside - own[rows]) / (counts[code] - 1)
            b = 1.0 - outside / (len(rows) - counts[code])
            # Copies in one direction leave +-1e-16 instead of 0; their ratio would be noise.
            a, b = np.where(np.abs(a) < 1e-12, 0.0, a), np.where(np.abs(b) < 1e-12, 0.0, b)
            s = (b - a) / np.maximum(a, b)
        s = np.where((counts[code] > 1) & np.isfinite(s), s, 0.0)
        out[rows] = 1.0 - np.abs(s)
    return out


def mean_by_label(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean over cells inside each label, then over labels; NaN cells are left out."""
    good = np.isfinite(values)
    if not good.any():
        return float("nan")
    counts = np.bincount(labels[good])
    sums = np.bincount(labels[good], weights=values[good])
    return float(np.mean(sums[counts > 0] / counts[counts > 0]))
