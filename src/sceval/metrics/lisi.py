"""Local inverse Simpson index: how many batches (or labels) a cell's neighbourhood holds, effectively.

Source: Korsunsky et al. 2019 (Harmony); scaling from Luecken et al. 2022 (scIB); CiLISI from Andreatta et al. 2024.
"""

from __future__ import annotations

import numpy as np

_TOLERANCE = 1e-7
_STEPS = 64


def neighbor_probabilities(distances: np.ndarray, perplexity: float) -> np.ndarray:
    """Kernel weights exp(-beta d) of each row, beta such that the row's entropy is log(perplexity).

    Parameters
    ----------
    distances
        Cells x neighbours, the cell itself left out; inf marks an absent neighbour.
    perplexity
        Effective number of neighbours, above 1.

    Returns
    -------
    probabilities
        Cells x neighbours, each row summing to 1 (to 0 where it has no neighbour). Where the entropy cannot be
        reached (more copies at the smallest distance than the perplexity, or fewer neighbours), the nearest
        reachable weights: equal ones.
    """
    d = np.array(distances, dtype=np.float64)
    present = np.isfinite(d)
    smallest = d.min(axis=1, keepdims=True)
    # The weights do not change under a shift or a change of units; exp() then neither under- nor overflows.
    d = np.where(present, d - np.where(np.isfinite(smallest), smallest, 0.0), 0.0)
    counts = np.maximum(present.sum(axis=1), 1)
    unit = d.sum(axis=1) / counts
    d /= np.where(unit > 0, unit, 1.0)[:, None]
    target = np.log(perplexity)
    beta, low, high = np.ones(len(d)), np.zeros(len(d)), np.full(len(d), np.inf)
    active = np.flatnonzero((unit > 0) & (counts > perplexity))
    # Too few neighbours for the perplexity: equal weights are the closest to it.
    beta[counts <= perplexity] = 0.0
    for _ in range(_STEPS):
        if not len(active):
            break
        entropy, slope = _entropy(d[active], present[active], beta[active])
        off = entropy - target
        going = np.abs(off) > _TOLERANCE
        active, off, slope = active[going], off[going], slope[going]
        low[active[off > 0]] = beta[active[off > 0]]
        high[active[off <= 0]] = beta[active[off <= 0]]
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = beta[active] - off / slope
        bisect = np.where(np.isinf(high[active]), beta[active] * 2, (low[active] + high[active]) / 2)
        inside = (newton > low[active]) & (newton < np.minimum(high[active], beta[active] * 4))
        beta[active] = np.where(inside, newton, bisect)
    p = np.exp(-d * beta[:, None]) * present
    total = p.sum(axis=1, keepdims=True)
    return p / np.where(total > 0, total, 1.0)


def _entropy(d: np.ndarray, present: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = np.exp(-d * beta[:, None])
    p *= present
    total = p.sum(axis=1)
    p *= d
    first = p.sum(axis=1) / total
    p *= d
    second = p.sum(axis=1) / total
    return np.log(total) + beta * first, -beta * np.maximum(second - first**2, 0.0)


def lisi(probabilities: np.ndarray, codes: np.ndarray, n_codes: int) -> np.ndarray:
    """Inverse Simpson index of each row, 1 to ``n_codes``.

    Parameters
    ----------
    probabilities
        Cells x neighbours, not negative; rows need not sum to 1. A row that sums to 0 gives NaN.
    codes
        Code of every neighbour, cells x neighbours; any code where the probability is 0.
    n_codes
        Number of batches or labels.
    """
    n = len(probabilities)
    flat = np.arange(n)[:, None] * n_codes + codes
    shares = np.bincount(flat.ravel(), weights=probabilities.ravel(), minlength=n * n_codes).reshape(n, n_codes)
    total = shares.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, total**2 / (shares**2).sum(axis=1), np.nan)


def scale_mixing(value, n_batches: int):
    """Scale iLISI: 0 for one batch around each cell, 1 for all equally: (LISI - 1) / (B - 1)."""
    return (value - 1.0) / (n_batches - 1.0) if n_batches > 1 else np.full_like(np.asarray(value, float), np.nan)


def scale_purity(value, n_labels: int):
    """Scale cLISI: 0 for all labels around each cell, 1 for its own alone: (K - LISI) / (K - 1)."""
    return (n_labels - value) / (n_labels - 1.0) if n_labels > 1 else np.full_like(np.asarray(value, float), np.nan)
