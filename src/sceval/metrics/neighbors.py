"""Exact Euclidean neighbours of every cell, in blocks: never n x n in memory, the same answer on every run.

Candidates come from a float32 product with a safe margin; they are then ranked by float64 differences, so that
the self distance is exactly 0 and copies of a cell are at distance 0 too (a rounding value such as 1e-7 there changes
UMAP weights, Leiden and kBET).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

#: Threads that work on row blocks. NumPy releases the GIL in all the heavy steps.
THREADS = 2
_GROUPS = 512
#: Largest squared norm over the median one up to which float32 serves: beyond, its error is wider than the gaps.
_OUTLIER = 100.0


def as_matrix(X: np.ndarray) -> np.ndarray:
    """Return ``X`` as a float64 matrix of cells x dimensions.

    Parameters
    ----------
    X
        Embedding, cells x dimensions; a vector is one dimension.

    Raises
    ------
    ValueError
        If a value is not finite, with the first row and column where that is so.
    """
    X = np.asarray(X, dtype=np.float64)
    if X.ndim == 1:
        X = X[:, None]
    if X.ndim != 2:
        raise ValueError(f"an embedding has 2 dimensions (cells x features); this one has {X.ndim}")
    bad = ~np.isfinite(X)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"the embedding holds {int(bad.sum())} values that are not finite, the first in row {row}, column {column}"
        )
    return X


def knn(X: np.ndarray, k: int, queries: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Exact k nearest neighbours of each cell, the cell itself first at distance 0.

    Parameters
    ----------
    X
        Embedding, cells x dimensions.
    k
        Neighbours per cell, the cell itself counted; capped at the number of cells.
    queries
        Row numbers for which neighbours are wanted; all rows if absent.

    Returns
    -------
    indices, distances
        Both queries x k, int64 and float64, sorted by distance; ties are broken by row number.
    """
    X = as_matrix(X)
    n = X.shape[0]
    k = min(int(k), n)
    rows = np.arange(n) if queries is None else np.asarray(queries)
    # Distances do not change under a shift, float32 errors do: centre first. Scale against overflow in float32.
    Y = X - X.mean(axis=0)
    scale = np.abs(Y).max()
    small = Y / scale if scale > 0 else Y
    norms = np.einsum("ij,ij->i", small, small)
    if norms.max() <= _OUTLIER * np.median(norms):
        small, norms = small.astype(np.float32), norms.astype(np.float32)
    width = -(-n // _GROUPS) * _GROUPS if n > 4 * _GROUPS else n
    indices = np.empty((len(rows), k), dtype=np.int64)
    distances = np.empty((len(rows), k))
    block = max(1, min(512, 16_000_000 // max(width, 1)))

    def work(start: int) -> None:
        part = rows[start : start + block]
        indices[start : start + block], distances[start : start + block] = _block(X, small, norms, part, k, width)

    starts = range(0, len(rows), block)
    if len(starts) > 1:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, starts))
    else:
        for start in starts:
            work(start)
    return indices, distances


def _block(
    X: np.ndarray, small: np.ndarray, norms: np.ndarray, part: np.ndarray, k: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    n = len(X)
    squared = np.full((len(part), width), np.inf, dtype=small.dtype)
    near = squared[:, :n]
    np.matmul(small[part] * small.dtype.type(-2), small.T, out=near)
    near += norms
    # k groups that each hold a cell within `bound` prove that k cells lie within it.
    if width > 4 * _GROUPS and k <= _GROUPS and width % _GROUPS == 0:
        summary = squared.reshape(len(part), -1, _GROUPS).min(axis=1)
    else:
        summary = near
    bound = np.partition(summary, k - 1, axis=1)[:, k - 1]
    # |x|^2 is left out of every entry of the row: it moves no rank, but it counts in the error.
    # The error of a sum of d products grows with the root of d; four times that is safe.
    error = 2 * np.finfo(small.dtype).eps * (1 + np.sqrt(X.shape[1]))
    bound += small.dtype.type(error) * (norms[part] + norms.max())
    which, candidate = np.divmod(np.flatnonzero((squared <= bound[:, None]).ravel()), width)
    counts = np.bincount(which, minlength=len(part))
    indices = np.empty((len(part), k), dtype=np.int64)
    distances = np.empty((len(part), k))
    starts = np.concatenate([[0], np.cumsum(counts)])
    # Rows with very many candidates (copies of one cell) are ranked in small groups: memory stays flat.
    step = max(1, int(2_000_000 // max(counts.max() * X.shape[1] / 8, 1)))
    for low in range(0, len(part), step):
        high = min(low + step, len(part))
        piece = slice(starts[low], starts[high])
        _rank(X, part, which[piece], candidate[piece], low, high, k, indices, distances)
    return indices, distances


def _rank(X, part, which, candidate, low, high, k, indices, distances) -> None:
    counts = np.bincount(which - low, minlength=high - low)
    widest = counts.max()
    column = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((high - low, widest), np.inf)
    ids = np.full((high - low, widest), len(X), dtype=np.int64)
    ids[which - low, column] = candidate
    difference = X[candidate]
    difference -= X[part[which]]
    exact = np.einsum("ij,ij->i", difference, difference)
    exact[candidate == part[which]] = -1.0
    table[which - low, column] = exact
    # Candidates stand in rising row number, so a stable sort breaks ties by row number.
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    indices[low:high] = np.take_along_axis(ids, order, axis=1)
    distances[low:high] = np.sqrt(np.maximum(np.take_along_axis(table, order, axis=1), 0.0))
