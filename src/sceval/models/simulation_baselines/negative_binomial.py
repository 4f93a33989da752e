"""Negative binomial counts: moments, draws and quantiles, gene by gene."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import betainc

LARGEST_DISPERSION = 50.0
"""Dispersion is cut here: a gene seen in one cell of few has no more to say."""


def fit(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and dispersion of each gene by moments: variance = mean + dispersion x mean^2; 0 is Poisson.

    Parameters
    ----------
    X
        Counts, cells x genes, dense.
    """
    mean = X.mean(axis=0)
    if len(X) < 2:
        return mean, np.zeros_like(mean)
    extra = X.var(axis=0, ddof=1) - mean
    dispersion = np.divide(extra, mean**2, out=np.zeros_like(mean), where=mean > 0)
    return mean, np.clip(dispersion, 0.0, LARGEST_DISPERSION)


def draw(mean: np.ndarray, dispersion: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw n cells with independent genes: Poisson counts of gamma rates, or Poisson where the dispersion is 0."""
    rate = np.broadcast_to(mean, (n, len(mean))).copy()
    wide = (dispersion > 0) & (mean > 0)
    shape = 1 / dispersion[wide]
    rate[:, wide] = rng.gamma(shape, mean[wide] / shape, (n, int(wide.sum())))
    return rng.poisson(rate).astype(np.float32)


def distribution(mean: float, dispersion: float, top: int) -> np.ndarray:
    """Return P(count <= k) for k = 0 ... top, by the regularized incomplete beta function."""
    size = 1 / max(dispersion, 1e-6)  # a size of a million is Poisson to six digits
    return betainc(size, np.arange(top + 1) + 1.0, size / (size + mean))


def as_csr(X: np.ndarray) -> sparse.csr_matrix:
    """Return counts as CSR, float32."""
    return sparse.csr_matrix(X.astype(np.float32))
