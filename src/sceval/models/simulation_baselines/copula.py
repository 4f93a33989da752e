"""Gaussian copula with negative binomial margins, type by type: genes keep their correlations (scDesign-like)."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from sceval.models.simulation_baselines.negative_binomial import distribution, fit

_EDGE = 1e-6


def normal_scores(column: np.ndarray, cdf: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return normal scores of counts by the randomized distributional transform: ties are broken within their step.

    Source: Ruschendorf 2009; used for counts by scDesign2 (Sun et al. 2021).
    """
    k = column.astype(int)
    high = cdf[k]
    low = np.where(k > 0, cdf[np.maximum(k - 1, 0)], 0.0)
    return ndtri(np.clip(low + rng.random(len(k)) * (high - low), _EDGE, 1 - _EDGE))


def simulate(X: np.ndarray, n: int, shrinkage: float, rng: np.random.Generator) -> np.ndarray:
    """Draw n cells.

    Parameters
    ----------
    X
        Training counts of one type, cells x genes, dense.
    n
        Wanted number.
    shrinkage
        Weight of independence in the correlation matrix, 0 to 1; 1 where there are fewer than three cells. Correlations
        are drawn from the scores of the cells themselves, so no genes x genes matrix is made.
    """
    mean, dispersion = fit(X)
    cells = len(X)
    weight = 1.0 if cells < 3 else shrinkage
    mix = rng.standard_normal((n, cells))
    out = np.zeros((n, X.shape[1]), np.float32)
    for gene in np.flatnonzero(mean > 0):
        top = int(max(X[:, gene].max() * 3, mean[gene] * 10, 10))
        cdf = distribution(mean[gene], dispersion[gene], top)
        score = normal_scores(X[:, gene], cdf, rng)
        spread = score.std(ddof=1) if cells > 1 else 0.0
        z = rng.standard_normal(n)
        if weight < 1 and spread > 0:
            unit = (score - score.mean()) / (spread * np.sqrt(cells - 1))
            z = np.sqrt(1 - weight) * (mix @ unit) + np.sqrt(weight) * z
        out[:, gene] = np.searchsorted(cdf, ndtr(z))
    return out
