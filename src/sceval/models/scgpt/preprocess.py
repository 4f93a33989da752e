"""From counts to binned values, the way the official fine-tuning scripts do it (their ``Preprocessor``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sceval.models.scgpt.binning import bin_rows


@dataclass(frozen=True)
class Preprocessed:
    """What :func:`preprocess` leaves: columns kept, and cells x kept genes after each step (CSR)."""

    genes_kept: np.ndarray
    normed: sp.csr_matrix
    log1p: sp.csr_matrix
    binned: sp.csr_matrix
    edges: np.ndarray


def normalize_total(counts: sp.csr_matrix, target_sum: float = 1e4) -> sp.csr_matrix:
    """Scale every cell to the same total; empty cells stay empty. Floating type kept, integers become float32."""
    matrix = sp.csr_matrix(counts, copy=True)
    if matrix.dtype.kind != "f":
        matrix = matrix.astype(np.float32)
    totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel().astype(matrix.dtype)
    totals[totals == 0] = 1
    scale = totals / matrix.dtype.type(target_sum)
    matrix.data /= np.repeat(scale, np.diff(matrix.indptr))
    return matrix


def preprocess(
    counts: sp.csr_matrix,
    candidates: np.ndarray | None = None,
    *,
    min_gene_counts: float = 3,
    target_sum: float = 1e4,
    n_bins: int = 51,
    rule: str = "one",
    uniforms: np.ndarray | None = None,
) -> Preprocessed:
    """Filter genes, scale cells to one total, take log1p, bin.

    The order is upstream's: totals are over the genes that are kept.

    Parameters
    ----------
    counts
        Cells x genes, raw counts.
    candidates
        Boolean per column: genes of the vocabulary (all columns by default).
    min_gene_counts
        Genes with fewer counts over all cells are dropped; 0 keeps every candidate.
    target_sum, n_bins, rule, uniforms
        Total per cell; see :mod:`sceval.models.scgpt.binning` for the rest.
    """
    counts = sp.csr_matrix(counts)
    keep = np.ones(counts.shape[1], dtype=bool) if candidates is None else np.asarray(candidates, dtype=bool)
    totals = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()
    kept = np.flatnonzero(keep & (totals >= min_gene_counts))
    normed = normalize_total(counts[:, kept], target_sum)
    logged = sp.csr_matrix((np.log1p(normed.data), normed.indices, normed.indptr), shape=normed.shape)
    binned, edges = bin_rows(logged, n_bins, rule=rule, uniforms=uniforms)
    return Preprocessed(kept, normed, logged, binned, edges)
