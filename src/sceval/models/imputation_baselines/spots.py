"""Genes that spots lack, from single cells: neighbors, SpaGE's aligned components, and a mapping of cells to spots."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.data.preprocess import fit_pca, log_cp10k
from sceval.models.imputation_baselines.normalized import shares

LEAST_SIMILARITY = 0.3
"""Cosine of a pair of principal vectors from which SpaGE keeps it."""


def _standard(X: sparse.csr_matrix) -> np.ndarray:
    """Z-scores of log CP10k of each gene, dense; a constant gene is 0."""
    dense = log_cp10k(X).toarray()
    spread = dense.std(axis=0)
    return np.divide(dense - dense.mean(axis=0), spread, out=np.zeros_like(dense), where=spread > 0)


def _weighted(reference: np.ndarray, spots: np.ndarray, cells: sparse.csr_matrix, k: int) -> np.ndarray:
    """Mean share of each gene (spots x g) over the k cells most alike by cosine, nearer ones weighing more (SpaGE)."""
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (reference, spots))
    k = min(k, len(a))
    out = np.empty((len(b), cells.shape[1]))
    for row, like in enumerate(b @ a.T):
        near = np.argpartition(-like, k - 1)[:k]
        near = near[like[near] > 0] if (like[near] > 0).any() else near
        distance = 1 - like[near]
        w = 1 - distance / distance.sum() if len(near) > 1 and distance.sum() > 0 else np.ones(len(near))
        out[row] = (w / w.sum()) @ cells[near].toarray()
    return out


def nearest_cells(reference: sparse.csr_matrix, spots: sparse.csr_matrix, shown: np.ndarray, n_components: int, k: int):
    """Mean share of each gene over the k reference cells most alike a spot, in joint components of the genes shown."""
    both = sparse.csr_matrix(np.vstack([_standard(reference[:, shown]), _standard(spots[:, shown])]))
    scores, n = fit_pca(both, n_components).transform(both), reference.shape[0]
    return _weighted(scores[:n], scores[n:], shares(reference), k)


def spage(reference: sparse.csr_matrix, spots: sparse.csr_matrix, shown: np.ndarray, n_components: int, k: int):
    """Mean share of each gene over the k most alike cells in the principal vectors that both data sets have.

    Abdelaal et al. 2020, Nucleic Acids Res 48:e107: components of each data set, the singular vectors of their
    product (principal vectors), those with a cosine above `LEAST_SIMILARITY`; both data sets are projected on the
    reference's vectors.
    """
    a, b = _standard(reference[:, shown]), _standard(spots[:, shown])
    P, Q = (fit_pca(sparse.csr_matrix(v), n_components).components for v in (a, b))
    U, cosine, _ = np.linalg.svd(P.T @ Q)
    vectors = P @ U[:, : len(cosine)][:, np.maximum(cosine >= LEAST_SIMILARITY, cosine == cosine.max())]
    return _weighted(a @ vectors, b @ vectors, shares(reference), k)


def mapping(reference: sparse.csr_matrix, spots: sparse.csr_matrix, shown: np.ndarray, steps: int) -> np.ndarray:
    """Explain each spot as a sum of reference cells with weights above 0, on the genes shown; apply them to all genes.

    Like Tangram (Biancalani et al. 2021) in what it learns, a matrix of cells x spots; the weights are the maximum
    likelihood under Poisson counts, by multiplicative steps (Richardson 1972, Lucy 1974). Each gene of the reference is
    first scaled to its mean in the spots, because the technologies differ.
    """
    R, Y = shares(reference)[:, shown].toarray(), spots[:, shown].toarray().astype(np.float64)
    mean = R.mean(axis=0)
    R *= np.divide(Y.mean(axis=0), mean, out=np.zeros_like(mean), where=mean > 0)
    W = np.full((len(Y), len(R)), 1 / len(R))
    W *= Y.sum(axis=1, keepdims=True)
    gain = np.maximum(R.sum(axis=1), 1e-12)
    for _ in range(steps):
        made = np.maximum(W @ R, 1e-12)
        W *= ((Y / made) @ R.T) / gain
    return W @ np.asarray(shares(reference).todense())
