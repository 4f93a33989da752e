"""Labels carried from one set of cells to another by a vote of nearest neighbours."""

from __future__ import annotations

import numpy as np

from sceval.metrics.neighbors import as_matrix

K = 15
"""Neighbours that vote."""


def _nearest(reference: np.ndarray, asked: np.ndarray, k: int, same: bool) -> np.ndarray:
    """Return the k nearest reference rows of each asked row, nearest first; a row is not its own neighbour."""
    center = reference.mean(axis=0)
    reference, asked = reference - center, asked - center
    norms = np.einsum("ij,ij->i", reference, reference)
    out = np.empty((len(asked), k), np.int64)
    block = max(1, 4_000_000 // len(reference))
    for low in range(0, len(asked), block):
        squared = norms - 2.0 * (asked[low : low + block] @ reference.T)
        if same:
            rows = np.arange(len(squared))
            squared[rows, low + rows] = np.inf
        near = np.argpartition(squared, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(squared, near, axis=1), axis=1, kind="stable")
        out[low : low + block] = np.take_along_axis(near, order, axis=1)
    return out


def knn_predict(reference: np.ndarray, codes: np.ndarray, asked: np.ndarray | None = None, k: int = K) -> np.ndarray:
    """Return the class of each asked cell by the vote of its nearest reference cells (Euclidean).

    Equal votes go to the class whose voters are the nearer (each vote counts 1 - rank / 1000 k).

    Parameters
    ----------
    reference, codes
        Cells x dimensions, and the class of each, 0 and up.
    asked
        Cells x dimensions; where None the reference cells themselves, each without its own vote.
    k
        Voters; all where there are fewer.
    """
    reference = as_matrix(reference)
    same = asked is None
    asked = reference if same else as_matrix(asked)
    k = min(k, len(reference) - int(same))
    if k < 1:
        msg = f"{len(reference)} reference cells: no neighbour can vote"
        raise ValueError(msg)
    votes = codes[_nearest(reference, asked, k, same)]
    weights = 1.0 - np.arange(k) / (1000.0 * k)
    totals = np.zeros((len(asked), int(codes.max()) + 1))
    for column in range(k):
        totals[np.arange(len(asked)), votes[:, column]] += weights[column]
    return totals.argmax(axis=1)


def mean_by_class(right: np.ndarray, codes: np.ndarray, least: int = 20) -> float:
    """Return the mean over classes of the share that is right (balanced accuracy), without classes under `least` cells.

    Parameters
    ----------
    right
        0 or 1 for each cell; NaN where it was not asked.
    codes
        Class of each cell.
    """
    asked = np.isfinite(right)
    shares = [
        right[asked & (codes == code)].mean()
        for code in np.unique(codes[asked])
        if (asked & (codes == code)).sum() >= least
    ]
    return float(np.mean(shares)) if shares else float("nan")
