"""Two samples of cells compared so that each real cell has a share in the result: energy distance, MMD, a classifier.

The mean of the shares is the measure, so an interval needs no second pass over pairs (first-order jackknife of a
U-statistic, Hoeffding 1948). Pairs are taken in blocks, never all at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

_BLOCK = 1024

#: Folds of the classifier.
FOLDS = 5

#: Ridge penalty of the classifier, on standardized features.
RIDGE = 1.0


def row_means(a: np.ndarray, b: np.ndarray, of: Callable, same: bool = False) -> np.ndarray:
    """Mean of ``of(distance)`` from each row of ``a`` to all rows of ``b``; to all other rows where ``same``."""
    out = np.empty(len(a))
    for low in range(0, len(a), _BLOCK):
        values = of(cdist(a[low : low + _BLOCK], b))
        if same:
            rows = np.arange(len(values))
            values[rows, low + rows] = 0.0
        out[low : low + _BLOCK] = values.sum(axis=1)
    return out / (len(b) - same) if len(b) > same else np.full(len(a), np.nan)


def _shares(x: np.ndarray, y: np.ndarray, of: Callable) -> np.ndarray:
    if min(len(x), len(y)) < 2:
        return np.full(len(x), np.nan)
    across, inside = row_means(x, y, of), row_means(x, x, of, same=True)
    return 2 * across - 2 * inside + inside.mean() - row_means(y, y, of, same=True).mean()


def energy_shares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of each row of ``x`` in the unbiased energy distance to ``y``; their mean is ``energy_distance``.

    Parameters
    ----------
    x, y
        Samples, cells x dimensions. Source: Szekely and Rizzo 2013.
    """
    return _shares(x, y, lambda d: d)


def mmd_shares(x: np.ndarray, y: np.ndarray, gammas: tuple[float, ...]) -> np.ndarray:
    """Share of each row of ``x`` in the unbiased squared MMD, mean over kernels exp(-gamma d^2).

    Parameters
    ----------
    x, y
        Samples, cells x dimensions. Source: Gretton et al. 2012.
    gammas
        Inverse widths.
    """
    return -_shares(x, y, lambda d: sum(np.exp(-gamma * d**2) for gamma in gammas) / len(gammas))


def _logistic(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weights of a ridge logistic regression by Newton's method; the last column of ``X`` is the free intercept."""
    weights, penalty = np.zeros(X.shape[1]), np.full(X.shape[1], RIDGE)
    penalty[-1] = 1e-6
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(X @ weights, -30, 30)))
        gradient = X.T @ (p - y) + penalty * weights
        step = np.linalg.solve((X.T * (p * (1 - p))) @ X + np.diag(penalty), gradient)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def placements(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """For each row of ``x``, the share of ``y`` (of its fold) that a cross-validated classifier calls less like ``x``.

    Their mean is the AUC of a logistic regression on standardized features and their squares (a change of spread is
    seen, not of the mean alone), five folds, averaged over folds. Source: Lopez-Paz and Oquab 2017.

    Parameters
    ----------
    x, y
        Samples, cells x dimensions.
    seed
        Seed of the folds.
    """
    rng = np.random.default_rng(seed)
    folds = min(FOLDS, len(x), len(y))
    if folds < 2:
        return np.full(len(x), np.nan)
    features = np.concatenate([x, y])
    features = _standard(features)
    features = np.column_stack([features, _standard(features**2), np.ones(len(features))])
    real = np.arange(len(features)) < len(x)
    fold = np.concatenate([rng.permutation(np.arange(n) % folds) for n in (len(x), len(y))])
    out = np.empty(len(x))
    for number in range(folds):
        inside = fold == number
        score = features[inside] @ _logistic(features[~inside], real[~inside].astype(float))
        of_x, of_y = score[real[inside]], np.sort(score[~real[inside]])
        below = np.searchsorted(of_y, of_x, side="left") + np.searchsorted(of_y, of_x, side="right")
        out[np.flatnonzero(real & inside)] = below / (2 * len(of_y))
    return out


def _standard(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
