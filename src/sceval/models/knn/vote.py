"""Votes of the nearest reference cells."""

from __future__ import annotations

import numpy as np

_BLOCK = 512


def nearest(reference: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and Euclidean distances of the k nearest reference cells of each query cell.

    Exact, in blocks of query cells: memory grows with the number of reference cells only.

    Parameters
    ----------
    reference, query
        n x d and m x d.
    k
        At most n.

    Returns
    -------
    Two arrays m x k, in no particular order within a row.
    """
    norm = (reference**2).sum(axis=1)
    positions = np.empty((len(query), k), np.intp)
    distances = np.empty((len(query), k))
    for start in range(0, len(query), _BLOCK):
        block = query[start : start + _BLOCK]
        squared = norm - 2 * block @ reference.T
        rows = np.argpartition(squared, k - 1, axis=1)[:, :k]
        positions[start : start + len(block)] = rows
        # By differences: the expanded square loses a small distance to rounding.
        difference = reference[rows] - block[:, None, :]
        distances[start : start + len(block)] = np.sqrt((difference**2).sum(axis=2))
    return positions, distances


def shares(codes: np.ndarray, distances: np.ndarray, prior: np.ndarray, weights: str) -> np.ndarray:
    """Return class probabilities from the classes of the neighbors.

    Weighted votes, scaled to k in all, plus one vote spread by the class frequencies of the reference: without that
    a class absent among the neighbors would have probability 0 and an infinite log-loss.

    Parameters
    ----------
    codes
        m x k, class of each neighbor.
    distances
        m x k.
    prior
        Class frequencies, c, sum 1.
    weights
        `uniform`, or `distance` (inverse distance; neighbors at distance 0 then share all votes).

    Returns
    -------
    m x c, rows sum to 1.
    """
    m, k = codes.shape
    if weights == "uniform":
        vote = np.ones((m, k))
    else:
        copy = distances == 0
        with np.errstate(divide="ignore"):
            vote = np.where(copy.any(axis=1, keepdims=True), copy, 1.0 / distances)
        vote = vote * (k / vote.sum(axis=1, keepdims=True))
    out = np.zeros((m, len(prior)))
    np.add.at(out, (np.arange(m)[:, None], codes), vote)
    return (out + prior) / (k + 1)
