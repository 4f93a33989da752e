"""Metrics of imputation: predicted rates against counts that were held out, per gene and per cell."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy
from scipy.stats import rankdata

RATE_FLOOR = 1e-3
"""Lowest rate that the Poisson likelihood takes; below it a single count would cost without bound."""

_GENES = 1024
"""Genes worked on at a time."""
_FLAT = 1e-9
"""Variance over mean square below which values count as constant."""


def pearson_columns(
    x: np.ndarray, y: np.ndarray, inside: np.ndarray | None = None, keep: np.ndarray | None = None
) -> np.ndarray:
    """Pearson correlation of each column of x with that of y.

    Parameters
    ----------
    x, y
        Prediction and truth, n x g.
    inside
        Entries that take part, n x g, boolean; all by default.
    keep
        Rows that each replicate keeps, R x n, boolean.

    Returns
    -------
    g, or R x g with `keep`. NaN where the truth is constant or has fewer than three entries; 0 where only the
    prediction is constant, because it then tells nothing.
    """
    n, g = y.shape
    rows = np.ones((1, n)) if keep is None else np.asarray(keep, np.float64)
    out = np.empty((len(rows), g))
    for low in range(0, g, _GENES):
        part = slice(low, low + _GENES)
        a, b = np.asarray(x[:, part], np.float64), np.asarray(y[:, part], np.float64)
        w = np.ones_like(b) if inside is None else np.asarray(inside[:, part], np.float64)
        total = np.maximum(w.sum(axis=0), 1.0)
        # Moments about the overall mean: replicates move little from it, so nothing cancels.
        squares = [(w * v**2).sum(axis=0) / total for v in (a, b)]
        a = (a - (w * a).sum(axis=0) / total) * w
        b = (b - (w * b).sum(axis=0) / total) * w
        count = rows @ w
        c = np.maximum(count, 1.0)
        ma, mb = rows @ a / c, rows @ b / c
        va, vb = rows @ a**2 / c - ma**2, rows @ b**2 / c - mb**2
        cov = rows @ (a * b) / c - ma * mb
        flat_a, flat_b = va <= _FLAT * squares[0], (vb <= _FLAT * squares[1]) | (count < 3)
        with np.errstate(invalid="ignore", divide="ignore"):
            r = cov / np.sqrt(va * vb)
        out[:, part] = np.where(flat_b, np.nan, np.where(flat_a, 0.0, np.clip(r, -1.0, 1.0)))
    return out[0] if keep is None else out


def poisson_nll(rate: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Negative log likelihood of counts under Poisson rates, in nats; rates below `RATE_FLOOR` are raised to it."""
    rate = np.maximum(np.asarray(rate, np.float64), RATE_FLOOR)
    return rate - xlogy(count, rate) + gammaln(np.asarray(count, np.float64) + 1.0)


def split_half(X: sparse.csr_matrix, repeats: int = 5, seed: int = 0) -> np.ndarray:
    """Correlation of each gene between two binomial halves of the counts, repeats x g.

    It estimates var(rate) / var(count) at half the depth: the noise of the halves is independent given the rate.
    NaN where a half is constant.
    """
    rng = np.random.default_rng(seed)
    n = X.shape[0]
    out = np.empty((repeats, X.shape[1]))
    for row in out:
        first = X.copy()
        first.data = rng.binomial(X.data.astype(np.int64), 0.5).astype(np.float64)
        second = X.copy()
        second.data = X.data - first.data
        mean = [np.asarray(half.mean(axis=0)).ravel() for half in (first, second)]
        square = [np.asarray(half.multiply(half).mean(axis=0)).ravel() for half in (first, second)]
        cross = np.asarray(first.multiply(second).sum(axis=0)).ravel() / n - mean[0] * mean[1]
        spread = np.sqrt((square[0] - mean[0] ** 2).clip(0) * (square[1] - mean[1] ** 2).clip(0))
        row[:] = np.divide(cross, spread, out=np.full(len(cross), np.nan), where=spread > 0)
    return out


def spearman_brown(r: np.ndarray) -> np.ndarray:
    """Reliability at full depth from the correlation r of two halves: 2 r / (1 + r) (Spearman 1910, Brown 1910)."""
    r = np.maximum(r, 0.0)
    return 2 * r / (1 + r)


def mean_by_total(counts: sparse.csr_matrix) -> np.ndarray:
    """Share of each gene in all counts x total of each cell, n x g float32: what needs no model."""
    share = np.asarray(counts.sum(axis=0), np.float64).ravel()
    total = np.asarray(counts.sum(axis=1), np.float64).ravel()
    return (total[:, None] * (share / max(share.sum(), 1.0))).astype(np.float32)


def overdispersion(y: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Variance of the rate over its squared mean, for each gene, by moments: sum((y - m)^2 - m) / sum(m^2), above 0."""
    excess = ((y - mean) ** 2 - mean).sum(axis=0, dtype=np.float64)
    return np.maximum(excess / np.maximum((mean**2).sum(axis=0, dtype=np.float64), 1e-12), 1e-4)


def posterior_rates(y: np.ndarray, mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rates given counts, n x g: what somebody would predict who knows the rate behind each count.

    Prior: Gamma with the given mean and the gene's overdispersion phi, so the posterior is Gamma(1/phi + y,
    1/(phi m) + 1). Draws and counts have the joint moments of true rates and counts, unlike the counts
    themselves, which would be a prediction better than any rate is.

    Parameters
    ----------
    y
        Counts, n x g.
    mean
        Prior mean of each entry, n x g.
    rng
        Where the draws come from.
    """
    phi = overdispersion(y, mean)
    mean = np.maximum(mean, 1e-9)
    return rng.gamma(1 / phi + y) / (1 / (phi * mean) + 1)


def _unit(x: np.ndarray) -> np.ndarray:
    spread = x.std(axis=0)
    return np.divide(x - x.mean(axis=0), spread, out=np.zeros_like(x), where=spread > 0)


def rmse_z(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Root mean squared difference of z-scores of each column, 0 to 2; a constant has z-scores of 0 (so gets 1)."""
    return np.sqrt(((_unit(x) - _unit(y)) ** 2).mean(axis=0))


def spearman_columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman correlation of each column, ties by mid-ranks; 0 and NaN as in `pearson_columns`."""
    return pearson_columns(rankdata(x, axis=0), rankdata(y, axis=0))


def ssim_columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Structural similarity of each column, one window over all spots, both divided by their maximum.

    (2 mx my + C1)(2 cov + C2) / ((mx^2 + my^2 + C1)(vx + vy + C2)), C1 = 0.01^2, C2 = 0.03^2 (Wang et al. 2004, as
    Li et al. 2022, Nat Methods 19:662, use it on spots: positions take no part).
    """
    a, b = (np.divide(v, v.max(axis=0), out=np.zeros_like(v), where=v.max(axis=0) > 0) for v in (x, y))
    ma, mb = a.mean(axis=0), b.mean(axis=0)
    cov = (a * b).mean(axis=0) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (a.var(axis=0) + b.var(axis=0) + c2))


def js_columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence (bits, 0 to 1) of the columns as distributions over spots; all zeros are uniform."""
    n = len(x)
    p, q = (np.where(v.sum(axis=0) > 0, v / np.maximum(v.sum(axis=0), 1e-300), 1.0 / n) for v in (x, y))
    m = (p + q) / 2

    def entropy(v: np.ndarray) -> np.ndarray:
        return -xlogy(v, v).sum(axis=0) / np.log(2)

    return np.clip(entropy(m) - (entropy(p) + entropy(q)) / 2, 0.0, 1.0)


def pearson_p(r: np.ndarray, n: int) -> np.ndarray:
    """Two-sided p value of Pearson correlations over n independent pairs (Student's t with n - 2 degrees)."""
    from scipy.special import stdtr

    if n < 3:
        return np.ones_like(r)
    t = np.abs(r) * np.sqrt((n - 2) / np.maximum(1 - r**2, 1e-15))
    return 2 * stdtr(n - 2, -t)
