"""Principal component regression: how much of the variance the batch explains, before and after.

With all components kept, sum_k var_k R2_k / sum_k var_k is the between-batch share of the total sum of squares, and a
rotation changes neither. So no PCA is needed: the share is taken from the columns as they are.
"""

from __future__ import annotations

import numpy as np

from sceval.metrics.neighbors import as_matrix


def batch_r2(X: np.ndarray, batches: np.ndarray) -> float:
    """Share of the variance of ``X`` that batch explains, 0 to 1; NaN for a constant embedding.

    Parameters
    ----------
    X
        Embedding or principal components, cells x dimensions.
    batches
        Batch codes. Source: Büttner et al. 2019; Luecken et al. 2022 (scIB), batch as a category.
    """
    Y, total = _centered(X)
    return _share(Y, batches, np.bincount(batches).astype(float), total)


def permuted_r2(X: np.ndarray, batches: np.ndarray, times: int = 199, seed: int = 0) -> np.ndarray:
    """``batch_r2`` for ``times`` random permutations of the batches: what "no batch effect" gives on these cells."""
    Y, total = _centered(X)
    counts = np.bincount(batches).astype(float)
    rng = np.random.default_rng(seed)
    return np.array([_share(Y, rng.permutation(batches), counts, total) for _ in range(times)])


def batch_effect(pre: np.ndarray, batches: np.ndarray, seed: int = 0) -> tuple[bool, float, float]:
    """Whether there is a batch effect to remove at all.

    Parameters
    ----------
    pre
        Unintegrated principal components, cells x dimensions.
    batches
        Batch codes.
    seed
        Seed of the permutations.

    Returns
    -------
    present, before, limit
        True where R2 before integration is above the 95th percentile of its own batch permutations; both numbers. A
        constant matrix has none (NaN compares as False).
    """
    before = batch_r2(pre, batches)
    limit = float(np.quantile(permuted_r2(pre, batches, seed=seed), 0.95))
    return before > limit, before, limit


def pcr_comparison(before: float, after: float) -> float:
    """``max(0, (before - after) / before)``; NaN where there was nothing before or a value is undefined."""
    if not (np.isfinite(before) and np.isfinite(after)) or before <= 0:
        return float("nan")
    return float(max(0.0, (before - after) / before))


def _centered(X: np.ndarray) -> tuple[np.ndarray, float]:
    X = as_matrix(X)
    Y = X - X[:1]
    Y -= Y.mean(axis=0)
    return Y, float(np.einsum("ij,ij->", Y, Y))


def _share(Y: np.ndarray, batches: np.ndarray, counts: np.ndarray, total: float) -> float:
    if total <= 0:
        return float("nan")
    onehot = np.zeros((len(counts), len(batches)))
    onehot[batches, np.arange(len(batches))] = 1.0
    sums = onehot @ Y
    present = counts > 0
    between = np.sum(sums[present] ** 2 / counts[present, None])
    return float(between / total)
