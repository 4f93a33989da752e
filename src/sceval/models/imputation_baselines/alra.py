"""ALRA: low-rank approximation with a threshold for each gene (Linderman et al. 2022, Nat Commun 13:192); own code."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.data.preprocess import log_cp10k
from sceval.models.imputation_baselines.normalized import totals

MOST, NOISE, DEVIATIONS = 100, 0.8, 6.0
"""Singular values looked at; share of them that is signal at most (the rest is noise); how far a gap must stand out."""

QUANTILE = 0.001
"""Quantile of a gene's approximated values whose size is taken for its noise around 0."""

_OVERSAMPLE, _POWER = 10, 4


def randomized_svd(A: sparse.csr_matrix, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U (n x k), singular values (k) and V' (k x g) by a random projection (Halko et al. 2011)."""
    width = min(k + _OVERSAMPLE, *A.shape)
    Q = np.linalg.qr(A @ np.random.default_rng(seed).standard_normal((A.shape[1], width)))[0]
    for _ in range(_POWER):
        Q = np.linalg.qr(A.T @ Q)[0]
        Q = np.linalg.qr(A @ Q)[0]
    U, s, V = np.linalg.svd((A.T @ Q).T, full_matrices=False)
    return (Q @ U)[:, :k], s[:k], V[:k]


def choose_rank(s: np.ndarray) -> int:
    """Return the last gap between singular values that lies six deviations above the gaps of the noise; at least 1."""
    gaps = -np.diff(s)
    noise = gaps[int(NOISE * len(s)) - 1 :]
    if len(noise) < 2:
        return 1
    large = np.flatnonzero(gaps > noise.mean() + DEVIATIONS * noise.std(ddof=1))
    return int(large[-1]) + 1 if len(large) else 1


def complete(A: sparse.csr_matrix, rank: int, seed: int) -> tuple[np.ndarray, int]:
    """Return the completed log matrix, n x g, and the rank; `rank` 0 chooses it.

    Values under the size of the gene's `QUANTILE` become 0; what is left gets mean and deviation of the gene's values
    above 0 in A; values above 0 in A that became 0 are put back.
    """
    U, s, V = randomized_svd(A, min(max(rank, MOST if not rank else 1), min(A.shape) - 1), seed)
    rank = rank or choose_rank(s)
    low = (U[:, :rank] * s[:rank]) @ V[:rank]
    low[low <= np.abs(np.quantile(low, QUANTILE, axis=0))] = 0.0
    dense = A.toarray()
    for column in range(A.shape[1]):
        made, given = low[:, column] > 0, dense[:, column] > 0
        if made.sum() > 1 and given.sum() > 1:
            values, goal = low[made, column], dense[given, column]
            if values.std() > 0:
                low[made, column] = (values - values.mean()) * (goal.std() / values.std()) + goal.mean()
    np.maximum(low, 0.0, out=low)
    back = (dense > 0) & (low == 0)
    low[back] = dense[back]
    return low, rank


def alra(X: sparse.csr_matrix, rank: int, seed: int) -> tuple[np.ndarray, int]:
    """Return expected counts, n x g, and the rank: ALRA on log CP10k, made linear, scaled to the cell's total."""
    low, rank = complete(log_cp10k(X), rank, seed)
    linear = np.expm1(low)
    total = linear.sum(axis=1)
    return linear * (totals(X) / np.where(total > 0, total, 1.0))[:, None], rank
