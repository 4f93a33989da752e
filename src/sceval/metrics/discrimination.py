"""Whether a predicted perturbation is told apart from the others: PDS and centroid accuracy, in blocks.

A model that predicts the same for every perturbation gets 0.5 exactly, whatever its error is.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 256
_TIE = 1e-9
"""Distances closer than this, relative to the own one, count as equal: a tie must not be decided by rounding."""


def _prepared(x: np.ndarray, metric: str) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if metric != "cosine":
        return x
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 1e-12)


def _distances(a: np.ndarray, b: np.ndarray, metric: str) -> np.ndarray:
    if metric == "cosine":
        return 1.0 - a @ b.T
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    return np.sqrt(np.maximum(squares, 0.0))


def discrimination(
    predicted: np.ndarray,
    true: np.ndarray,
    groups: np.ndarray | None = None,
    masks: np.ndarray | None = None,
    metric: str = "cosine",
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the other perturbations whose true profile lies further from a prediction than its own truth.

    Equal distances count as one half (mid-ranks), so the score is 1 - (rank - 1) / (n - 1).

    Parameters
    ----------
    predicted, true
        Profiles or changes, perturbations x genes. A prediction without any change has the same cosine to all: 0.5.
    groups
        Context of each: only perturbations of one context are compared. One group where None.
    masks
        Replicates x perturbations, True = kept: what is left out is neither asked nor a candidate.
    metric
        ``cosine`` (PDS as in cell-eval2) or ``euclidean`` (centroid accuracy of Systema, Vinas Torne et al. 2025).

    Returns
    -------
    units, replicates
        Score of each perturbation (NaN where it has nothing to be told from), and the mean in each replicate.
    """
    a, b = _prepared(predicted, metric), _prepared(true, metric)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape[0]} x {a.shape[1]} predicted profiles and {b.shape[0]} x {b.shape[1]} true ones")
    n = len(a)
    groups = np.zeros(n, int) if groups is None else np.unique(groups, return_inverse=True)[1]
    kept = np.concatenate([np.ones((1, n), bool), np.ones((0, n), bool) if masks is None else masks]).astype(float)
    sums, counts = np.zeros(len(kept)), np.zeros(len(kept))
    units = np.full(n, np.nan)
    for low in range(0, n, _BLOCK):
        rows = np.arange(low, min(low + _BLOCK, n))
        d = _distances(a[rows], b, metric)
        own = d[np.arange(len(rows)), rows][:, None]
        same = groups[rows][:, None] == groups[None, :]
        slack = _TIE * np.maximum(np.abs(own), 1.0)
        wins = np.where(np.abs(d - own) <= slack, 0.5, (d > own).astype(float)) * same
        wins[np.arange(len(rows)), rows] = 0.0
        same[np.arange(len(rows)), rows] = False
        others = same.astype(float) @ kept.T
        with np.errstate(invalid="ignore", divide="ignore"):
            score = (wins @ kept.T) / others
        units[rows] = score[:, 0]
        use = (kept[:, rows].T > 0) & (others > 0)
        sums += np.where(use, np.nan_to_num(score), 0.0).sum(axis=0)
        counts += use.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
    return units, means[1:]
