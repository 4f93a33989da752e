"""A Splat-like simulator: gamma-Poisson counts with library sizes, a trend of biological variation, and dropout.

Formulas of Splatter (Zappia et al. 2017). Genes keep their own mean of the type instead of drawing one, because here
each gene is compared with itself, and the weight of the trend is fitted where Splatter has 1: UMI counts have
less of it.
"""

from __future__ import annotations

import numpy as np

LARGEST_VARIATION, BINS = 7.0, 10
"""Largest coefficient of variation, and bins of expression that the trend is fitted on."""

DEGREES = 60.0
"""Degrees of freedom of the biological coefficient of variation, Splatter's default."""


def fit_dropout(means: np.ndarray, zeros: np.ndarray, expected: np.ndarray) -> tuple[float, float] | None:
    """Return midpoint and slope of the logistic dropout on the log mean, or None where zeros are no more than expected.

    Parameters
    ----------
    means
        Mean count of each gene.
    zeros, expected
        Share of zeros seen, and without dropout.
    """
    use = (means > 0) & (expected < 1 - 1e-9)
    if not use.any():
        return None
    level = np.log(means[use])
    excess = np.clip((zeros[use] - expected[use]) / (1 - expected[use]), 0.0, 1.0)
    best, chosen = float((excess**2).sum()), None
    for midpoint in np.quantile(level, np.linspace(0, 0.9, 10)) - 2.0:
        for slope in (-0.5, -1.0, -2.0, -4.0):
            wrong = float(((dropout(level, midpoint, slope) - excess) ** 2).sum())
            if wrong < best:
                best, chosen = wrong, (float(midpoint), slope)
    return chosen


def dropout(level: np.ndarray, midpoint: float, slope: float) -> np.ndarray:
    """Return the probability that a gene with this log mean is lost."""
    return 1 / (1 + np.exp(np.clip(-slope * (level - midpoint), -50, 50)))


def simulate(X: np.ndarray, n: int, with_dropout: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw n cells.

    Parameters
    ----------
    X
        Training counts of one type, cells x genes, dense.
    n
        Wanted number.
    with_dropout
        Fit dropout to the zeros that the rest does not explain.
    """
    totals = X.sum(axis=1)
    logs = np.log(np.maximum(totals, 1.0))
    mean = X.mean(axis=0)
    share = mean / max(mean.sum(), 1e-12)
    common, trend = fit_variation(X)
    library = np.exp(rng.normal(logs.mean(), logs.std(ddof=1) if len(logs) > 1 else 0.0, n))
    rate = library[:, None] * share[None, :]
    bcv = (common + trend / np.sqrt(np.maximum(mean, 1e-8))) * np.sqrt(DEGREES / rng.chisquare(DEGREES, len(mean)))
    bcv = np.clip(bcv, 1e-3, LARGEST_VARIATION)
    shape = 1 / bcv**2
    counts = rng.poisson(rng.gamma(np.broadcast_to(shape, rate.shape), rate / shape)).astype(np.float32)
    if with_dropout:
        expected = (shape / (shape + mean)) ** shape
        found = fit_dropout(mean, (X == 0).mean(axis=0), expected)
        if found:
            counts[rng.random(counts.shape) < dropout(np.log(np.maximum(rate, 1e-12)), *found)] = 0
    return counts


def fit_variation(X: np.ndarray) -> tuple[float, float]:
    """Return c and t of the biological coefficient of variation c + t / sqrt(mean), both 0 or more.

    Least squares over bins of expression, on the root of the dispersion (moments, at equal depth) of each bin.
    """
    if len(X) < 3:
        return 0.1, 0.0
    depth = X.sum(axis=1, keepdims=True)
    level = X / np.maximum(depth / max(depth.mean(), 1e-12), 1e-12)
    mean, variance = level.mean(axis=0), level.var(axis=0, ddof=1)
    use = np.flatnonzero(mean > 0)
    use = use[np.argsort(mean[use], kind="stable")]
    places, values = [], []
    for part in np.array_split(use, BINS):
        if len(part):
            # The mean over the bin, not over genes: of a rare gene the dispersion alone is noise with a long tail.
            excess = float((variance[part] - mean[part]).mean() / (mean[part] ** 2).mean())
            places.append(1 / np.sqrt(mean[part].mean()))
            values.append(np.sqrt(max(excess, 0.0)))
    if len(places) < 2:
        return 0.1, 0.0
    slope, start = np.polyfit(places, values, 1)
    if slope < 0 or start < 0:
        return (
            (float(np.mean(values)), 0.0)
            if slope < 0
            else (0.0, float(np.dot(places, values) / np.dot(places, places)))
        )
    return float(start), float(slope)
