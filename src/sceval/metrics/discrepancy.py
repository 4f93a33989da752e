"""Distances between two samples of cells: energy distance and maximum mean discrepancy, in blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from sceval.metrics.neighbors import as_matrix

_BLOCK = 1024
#: Factors of the kernel width for the averaged kernel.
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)


def _mean(a: np.ndarray, b: np.ndarray, metric: str, of: Callable, same: bool, unbiased: bool) -> float:
    total = 0.0
    for low in range(0, len(a), _BLOCK):
        values = of(cdist(a[low : low + _BLOCK], b, metric))
        if same and unbiased:
            rows = np.arange(len(values))
            values[rows, low + rows] = 0.0
        total += float(values.sum())
    return total / (len(a) * (len(b) - 1) if same and unbiased else len(a) * len(b))


def _contrast(x, y, metric: str, of: Callable, unbiased: bool) -> float:
    x, y = as_matrix(x), as_matrix(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"the samples have {x.shape[1]} and {y.shape[1]} dimensions")
    if unbiased and min(len(x), len(y)) < 2:
        return float("nan")
    inside = _mean(x, x, metric, of, True, unbiased) + _mean(y, y, metric, of, True, unbiased)
    return 2.0 * _mean(x, y, metric, of, False, unbiased) - inside


def energy_distance(x, y, squared: bool = False, unbiased: bool = True) -> float:
    """``2 E d(x, y) - E d(x, x') - E d(y, y')``, 0 and up for the biased form.

    Parameters
    ----------
    x, y
        Samples, cells x dimensions.
    squared
        Squared Euclidean distances: with ``unbiased`` the usual single-cell E-distance (Peidli et al. 2024).
    unbiased
        Leave the zero diagonal out (U form, can be slightly negative) or in (V form). Source: Szekely and Rizzo 2013.
    """
    return _contrast(x, y, "sqeuclidean" if squared else "euclidean", lambda d: d, unbiased)


def median_squared_distance(x, y) -> float:
    """Median over all distinct pairs of the pooled sample: the usual width of the kernel."""
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(np.concatenate([as_matrix(x), as_matrix(y)]), "sqeuclidean")))


def mmd2(x, y, gamma: float, unbiased: bool = True) -> float:
    """Squared MMD with the kernel exp(-gamma d^2). Source: Gretton et al. 2012.

    Parameters
    ----------
    x, y
        Samples, cells x dimensions.
    gamma
        Inverse width, per squared unit of the embedding.
    unbiased
        Leave the diagonal out (can be slightly negative) or in.
    """
    return -_contrast(x, y, "sqeuclidean", lambda d: np.exp(-gamma * d), unbiased)


def mmd2_mean_of_scales(x, y, unbiased: bool = True) -> float:
    """Mean of ``mmd2`` over gamma = s / median for s in 0.25, 0.5, 1, 2, 4."""
    median = median_squared_distance(x, y)
    return float(np.mean([mmd2(x, y, scale / median, unbiased) for scale in SCALES]))
