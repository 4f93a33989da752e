"""The space in which neighbors are looked for."""

from __future__ import annotations

import numpy as np

from sceval.models.respan.pairs import unit_rows

REDUCTIONS = ("pca", "kpca", "cca", "none")


def standardize(X: np.ndarray, axis: int = 0, ddof: int = 1) -> np.ndarray:
    """Return mean 0 and standard deviation 1 along an axis; what does not vary becomes 0."""
    deviation = X.std(axis=axis, keepdims=True, ddof=min(ddof, X.shape[axis] - 1))
    return (X - X.mean(axis=axis, keepdims=True)) / np.where(deviation == 0, 1, deviation)


def principal_axes(X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n x k) and loadings (g x k) of the centered rows; the largest loading of each is positive.

    The smaller Gram matrix is decomposed whole, so that the result needs no seed.
    """
    from scipy import linalg

    X = X - X.mean(axis=0)
    n, g = X.shape
    k = min(k, n - 1, g)
    size = min(n, g)
    vectors = linalg.eigh(X.T @ X if g <= n else X @ X.T, subset_by_index=(size - k, size - 1))[1][:, ::-1]
    loadings = np.linalg.qr(vectors if g <= n else X.T @ vectors)[0]
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(k)]
    loadings = loadings * np.where(largest < 0, -1.0, 1.0)
    return X @ loadings, loadings


def correlation_space(reference: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both batches in the space of their shared correlations (Butler et al. 2018, Nat Biotechnol 36:411).

    Genes are standardized within each batch, then cells; the singular vectors of the products of all cells are scaled
    by the roots of the singular values.
    """
    from scipy import linalg
    from scipy.sparse.linalg import svds

    left, right = (standardize(standardize(X, 0, 0), 1, 0) for X in (reference, query))
    product = left @ right.T
    if k < min(product.shape) - 1:
        start = np.random.default_rng(0).standard_normal(min(product.shape))
        u, s, vt = svds(product, k=k, v0=start, solver="arpack")
    else:
        u, s, vt = linalg.svd(product, full_matrices=False)
    first = np.argsort(-s, kind="stable")[:k]
    root = np.sqrt(s[first])
    return u[:, first] * root, vt[first].T * root


def reduce(reference: np.ndarray, query: np.ndarray, how: str = "pca", k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates of both batches.

    Parameters
    ----------
    reference, query
        Log-normalized expression, cells x genes.
    how
        ``pca`` of both together, genes standardized; ``kpca`` the same with the cosine kernel, which is a PCA of cells
        scaled to length 1; ``cca``, see :func:`correlation_space`; ``none``, the expression itself.
    k
        Components.

    Raises
    ------
    ValueError
        Unknown name.
    """
    reference, query = np.asarray(reference, np.float64), np.asarray(query, np.float64)
    if how == "none":
        return reference, query
    if how == "cca":
        return correlation_space(reference, query, k)
    if how not in REDUCTIONS:
        raise ValueError(f"unknown reduction {how!r}; choose one of {', '.join(REDUCTIONS)}")
    both = standardize(np.concatenate([reference, query]))
    scores = principal_axes(unit_rows(both) if how == "kpca" else both, k)[0]
    return scores[: len(reference)], scores[len(reference) :]


def loading_genes(reference: np.ndarray, query: np.ndarray, k: int = 20, top: int = 10) -> np.ndarray:
    """Return the genes that are among the `top` largest loadings (by size) of one of the k components, ascending."""
    both = standardize(np.concatenate([np.asarray(reference, np.float64), np.asarray(query, np.float64)]))
    loadings = principal_axes(both, k)[1]
    return np.unique(np.argsort(-np.abs(loadings), axis=0, kind="stable")[:top])
