"""Spaces of cells from two modalities, with NumPy and SciPy alone. Cells are sorted by id before, see program.py."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k, pca
from sceval.models.request import NotApplicable, Request

_DENSE = 1_000_000
"""Products of cells of two modalities up to this size are decomposed whole; above it ARPACK takes over."""


def tf_idf(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return log(1 + 10,000 x term frequency x inverse document frequency), as Signac does (Stuart et al. 2021)."""
    counts = sparse.csr_matrix(counts, dtype=np.float64)
    total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1.0)
    seen = np.asarray(counts.sum(axis=0)).ravel()
    idf = np.divide(counts.shape[0], seen, out=np.zeros_like(seen), where=seen > 0)
    out = sparse.csr_matrix(sparse.diags(1.0 / total) @ counts @ sparse.diags(idf))
    out.data = np.log1p(1e4 * out.data)
    return out


def clr(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return centered log ratios of proteins in each cell: log1p minus its mean (Stoeckius et al. 2017)."""
    logs = np.log1p(counts.toarray().astype(np.float64))
    return sparse.csr_matrix(logs - logs.mean(axis=1, keepdims=True))


def components(counts: sparse.csr_matrix, kind: str, n_hvg: int, n: int) -> np.ndarray:
    """Return components of one modality: PCA of log CP10k of variable genes, LSI of peaks, PCA of CLR of proteins.

    LSI leaves out the first component, which is depth.
    """
    if kind == "peak":
        return pca(tf_idf(counts), n + 1)[0][:, 1:]
    if kind == "protein":
        return pca(clr(counts), n)[0]
    genes = highly_variable_genes(counts, n_hvg)
    if len(genes) < 2:
        msg = f"{len(genes)} genes vary; at least two are needed"
        raise NotApplicable(msg)
    return pca(log_cp10k(counts)[:, genes], n)[0]


def blocks(request: Request, order: np.ndarray) -> dict[str, np.ndarray]:
    """Return the components of each modality of the features.

    Raises
    ------
    NotApplicable
        If the view tells no modality of its features, or rows lack one.
    """
    view = request.view
    if "modality" not in view.var:
        msg = "this method joins the features of two modalities of the same cells; the view has one gene space"
        raise NotApplicable(msg)
    if (view.obs["modality"] != "paired").any():
        msg = "this method needs all modalities in every cell, and some rows of this view have one only"
        raise NotApplicable(msg)
    kinds = view.var["modality"].astype(str)
    X = sparse.csr_matrix(view.X)[order]
    size, n_hvg = request.params["n_components"], request.params["n_hvg"]
    return {kind: components(X[:, kinds == kind], kind, n_hvg, size) for kind in dict.fromkeys(kinds)}


def concatenated(request: Request, order: np.ndarray) -> np.ndarray:
    """Return the components of all modalities side by side, each divided by its first singular value."""
    return np.hstack([Z / np.linalg.norm(Z[:, 0]) for Z in blocks(request, order).values()]) * np.sqrt(len(order))


def standardized(request: Request, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return log CP10k (n x g) with mean 0 and deviation 1 of each gene inside each modality, and who is of which.

    Raises
    ------
    NotApplicable
        If the rows are not of two modalities.
    """
    view = request.view
    modality = view.obs.get("modality", np.full(view.n_obs, "one", object))[order].astype(str)
    names = sorted(set(modality))
    if "modality" in view.var or len(names) != 2:
        msg = f"rows of two modalities in one gene space are needed; these are of {', '.join(names)}"
        raise NotApplicable(msg)
    counts = sparse.csr_matrix(view.X)[order]
    if counts.shape[1] > request.params["n_hvg"]:
        codes = np.unique(modality, return_inverse=True)[1]
        counts = counts[:, highly_variable_genes(counts, request.params["n_hvg"], codes)]
    Z = log_cp10k(counts).toarray()
    for name in names:
        rows = modality == name
        Z[rows] -= Z[rows].mean(axis=0)
        Z[rows] /= np.where(Z[rows].std(axis=0) > 1e-9, Z[rows].std(axis=0), 1.0)
    # A gene that one modality does not measure tells only who is of which.
    varies = np.all([Z[modality == name].std(axis=0) > 0.5 for name in names], axis=0)
    if varies.sum() < 2:
        msg = f"{int(varies.sum())} genes vary in both modalities; at least two are needed"
        raise NotApplicable(msg)
    return Z[:, varies], modality, names


def scaled_pca(request: Request, order: np.ndarray) -> np.ndarray:
    """Return principal components of genes that are standardized inside each modality."""
    return pca(sparse.csr_matrix(standardized(request, order)[0]), request.params["n_components"])[0]


def cca(request: Request, order: np.ndarray) -> np.ndarray:
    """Return canonical vectors, each cell's of unit length.

    Rows of two modalities: singular vectors of the product of the standardized matrices over their common genes
    (diagonal CCA, Butler et al. 2018, Nat Biotechnol 36:411). Cells with both: canonical correlation of their
    components (Hotelling 1936), the mean of both sides.
    """
    if "modality" in request.view.var:
        return _paired_cca(request, order)
    Z, modality, names = standardized(request, order)
    first, second = (np.flatnonzero(modality == name) for name in names)
    k = min(request.params["n_components"], len(first) - 1, len(second) - 1, Z.shape[1] - 1)
    A, B = Z[first], Z[second]
    if len(first) * len(second) <= _DENSE:
        left, _, right = np.linalg.svd(A @ B.T, full_matrices=False)
    else:
        from scipy.sparse import linalg

        product = linalg.LinearOperator(
            (len(first), len(second)), matvec=lambda v: A @ (B.T @ v), rmatvec=lambda u: B @ (A.T @ u)
        )
        start = np.random.default_rng(0).standard_normal(min(product.shape))
        left, _, right = linalg.svds(product, k=k, v0=start)
        left, right = left[:, ::-1], right[::-1]
    out = np.empty((len(order), k))
    out[first], out[second] = left[:, :k], right[:k].T
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


def _paired_cca(request: Request, order: np.ndarray) -> np.ndarray:
    found = list(blocks(request, order).values())
    if len(found) != 2:
        msg = "canonical correlation needs two modalities and this view has one"
        raise NotApplicable(msg)
    bases = [np.linalg.qr(Z - Z.mean(axis=0))[0] for Z in found]
    left, correlation, right = np.linalg.svd(bases[0].T @ bases[1], full_matrices=False)
    out = (bases[0] @ left + bases[1] @ right.T) * correlation / 2  # what both agree on weighs more
    return out * np.sqrt(len(order))


METHODS = {"concatenated": concatenated, "cca": cca, "scaled_pca": scaled_pca}
