"""Counts and back: shares of a cell's total, their principal components, and neighbors in them."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.data.preprocess import fit_pca, log_cp10k
from sceval.metrics.neighbors import knn


def totals(X: sparse.csr_matrix) -> np.ndarray:
    """Total counts of each cell (n); 1 for a cell without any."""
    total = np.asarray(X.sum(axis=1), np.float64).ravel()
    return np.where(total > 0, total, 1.0)


def shares(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """Counts over the total of the cell, n x g CSR."""
    return sparse.csr_matrix(sparse.diags(1 / totals(X)) @ X)


def neighbors(X: sparse.csr_matrix, n_components: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest cells (n x k, the cell first) and their distances in components of log CP10k."""
    scores = fit_pca(log_cp10k(X), n_components, seed).transform(log_cp10k(X))
    return knn(scores, min(k, X.shape[0]))


def graph(indices: np.ndarray, weights: np.ndarray) -> sparse.csr_matrix:
    """Return the n x n CSR matrix with `weights` (n x k) at `indices`."""
    n, k = indices.shape
    return sparse.csr_matrix((weights.ravel(), indices.ravel(), np.arange(0, n * k + 1, k)), (n, n))
