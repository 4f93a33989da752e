"""Log-normalization and principal components of sparse counts, with NumPy and SciPy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_EXACT = 3000
"""Up to this many cells or genes the smaller Gram matrix is decomposed whole; above it ARPACK takes over."""

_BLOCK = 4096
"""Rows made dense at a time where a Gram matrix over genes is summed up."""


def log_cp10k(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return log(1 + counts per 10,000).

    Parameters
    ----------
    X
        n x g raw counts, CSR.

    Returns
    -------
    n x g, CSR, float64, in natural logarithms. A cell without any count stays zero.
    """
    out = sparse.csr_matrix(X, dtype=np.float64, copy=True)
    total = np.asarray(out.sum(axis=1)).ravel()
    scale = np.divide(1e4, total, out=np.zeros_like(total), where=total > 0)
    out.data = np.log1p(out.data * np.repeat(scale, np.diff(out.indptr)))
    return out


def column_moments(X: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance (n - 1 in the denominator) of each column, zeros counted."""
    n = X.shape[0]
    mean = np.asarray(X.mean(axis=0), dtype=np.float64).ravel()
    deviation = X.data - mean[X.indices]
    squares = np.bincount(X.indices, weights=deviation**2, minlength=X.shape[1])
    absent = n - np.bincount(X.indices, minlength=X.shape[1])
    return mean, (squares + absent * mean**2) / max(n - 1, 1)


@dataclass(frozen=True)
class PCA:
    """Principal components fitted on some cells and usable on others.

    Attributes
    ----------
    mean
        Mean of each gene, g.
    components
        g x k, orthonormal columns, by falling variance. The sign makes the largest loading positive.
    variance
        Variance of the scores, k.
    """

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray

    def transform(self, X: sparse.csr_matrix) -> np.ndarray:
        """Return the scores (m x k, float64) of cells given as m x g."""
        return np.asarray(X @ self.components) - self.mean @ self.components


def _gene_gram(X: sparse.csr_matrix, mean: np.ndarray) -> np.ndarray:
    """Sum of the outer products of the centered rows, g x g; summed about the mean, so that nothing cancels."""
    total = np.zeros((X.shape[1], X.shape[1]))
    for start in range(0, X.shape[0], _BLOCK):
        block = X[start : start + _BLOCK].toarray() - mean
        total += block.T @ block
    return total


def _top_eigen(gram: np.ndarray, k: int) -> np.ndarray:
    from scipy import linalg  # slow to import, and a control needs no component

    size = len(gram)
    return linalg.eigh(gram, subset_by_index=(size - k, size - 1))[1][:, ::-1]


def _directions(X: sparse.csr_matrix, mean: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Leading right singular vectors of the centered matrix, g x k."""
    n, g = X.shape
    if g <= min(n, _EXACT):
        return _top_eigen(_gene_gram(X, mean), k)
    if n <= _EXACT:
        gram = np.asarray((X @ X.T).todense(), dtype=np.float64)
        gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
        left = _top_eigen(gram, k)
        return np.asarray(X.T @ left) - np.outer(mean, left.sum(axis=0))
    from scipy.sparse import linalg as sparse_linalg

    ones = np.ones(n)
    centered = sparse_linalg.LinearOperator(
        (n, g),
        matvec=lambda v: X @ v.ravel() - mean @ v.ravel() * ones,
        rmatvec=lambda u: X.T @ u.ravel() - mean * u.sum(),
        dtype=np.float64,
    )
    start = np.random.default_rng(seed).standard_normal(min(n, g))
    right = sparse_linalg.svds(centered, k=k, v0=start, solver="arpack", return_singular_vectors="vh")[2]
    return right[::-1].T


def fit_pca(X: sparse.csr_matrix, n_components: int, seed: int = 0) -> PCA:
    """Fit principal components: centered, not scaled, the centering implicit where the matrix is large.

    Parameters
    ----------
    X
        n x g, CSR.
    n_components
        Wanted number; capped at n - 1 and g - 1.
    seed
        Start vector of the iterative solver (more than 3,000 cells and genes); the result agrees between seeds to
        the solver's precision.

    Raises
    ------
    ValueError
        If there are fewer than two cells or two genes.
    """
    n, g = X.shape
    k = min(n - 1, g - 1, n_components)
    if k < 1:
        msg = f"no principal component can be had from {n} cells x {g} genes; expected at least 2 x 2"
        raise ValueError(msg)
    X = sparse.csr_matrix(X, dtype=np.float64)
    mean = np.asarray(X.mean(axis=0)).ravel()
    # QR makes the columns orthonormal whichever way they were had, also where fewer than k have any variance.
    components = np.linalg.qr(_directions(X, mean, k, seed))[0]
    largest = components[np.abs(components).argmax(axis=0), np.arange(k)]
    components = components * np.where(largest < 0, -1.0, 1.0)
    scores = np.asarray(X @ components) - mean @ components
    variance = (scores**2).sum(axis=0) / (n - 1)
    return PCA(mean, components, variance)


def pca(X: sparse.csr_matrix, n_components: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return principal component scores (n x k, float64) and their variances (k); see `fit_pca`."""
    fitted = fit_pca(X, n_components, seed)
    return fitted.transform(X), fitted.variance
