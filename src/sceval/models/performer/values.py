"""Expression values as both models have them: counts per 10,000, log base 2, cut to integers.

The order is the official one: genes are put in the model's order first, so that totals are over its genes alone.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from sceval.data.genes import sum_columns
from sceval.data.hvg import highly_variable_genes

TARGET_SUM = 1e4
MAX_BIN = 5


def reorder(counts: sp.csr_matrix, ids: np.ndarray, n_genes: int) -> sp.csr_matrix:
    """Put columns in the order of the model's genes.

    Parameters
    ----------
    counts
        Cells x columns, raw counts.
    ids
        Position of each column in the model, -1 where it has none; the counts of two columns of one gene are added.
    n_genes
        Genes of the model; absent ones are 0.

    Returns
    -------
    Cells x n_genes (CSR, float32), explicit zeros removed, sorted.
    """
    matrix, tokens = sum_columns(sp.csr_matrix(counts), ids)
    keep = tokens >= 0
    if not keep.all():
        matrix, tokens = matrix[:, np.flatnonzero(keep)], tokens[keep]
    data = matrix.data.astype(np.float32)
    out = sp.csr_matrix((data, tokens[matrix.indices], matrix.indptr), shape=(matrix.shape[0], n_genes), copy=True)
    out.eliminate_zeros()
    out.sort_indices()
    return out


def log2_normalize(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return log2(1 + counts per 10,000), float32, with the rounding of scanpy's two functions.

    A value decides by its integer part, so that the last digit counts where it is an integer.
    """
    out = sp.csr_matrix(counts, dtype=np.float32, copy=True)
    totals = np.asarray(out.sum(axis=1, dtype=np.float64)).ravel().astype(np.float32)
    totals[totals == 0] = 1
    out.data /= np.repeat(totals / np.float32(TARGET_SUM), np.diff(out.indptr))
    out.data = (np.log1p(out.data) / np.log(2.0)).astype(np.float32)
    return out


def bins(values: sp.csr_matrix) -> sp.csr_matrix:
    """Cut values to integers, at most 5 (int8). Expressed genes with a value below 1 stay, as an explicit 0."""
    data = np.minimum(values.data, MAX_BIN).astype(np.int8)
    return sp.csr_matrix((data, values.indices, values.indptr), shape=values.shape)


def first_columns(ids: np.ndarray) -> np.ndarray:
    """Keep the first column of each gene alone (-1 for the others), as the official preprocessing does."""
    out = np.full_like(ids, -1)
    first = np.unique(ids, return_index=True)[1]
    out[first] = ids[first]
    return out


def variable_genes(
    counts: sp.csr_matrix, n_hvg: int, fit_rows: np.ndarray | None, warnings: list[str]
) -> np.ndarray | None:
    """Choose the most variable genes of counts in model order; None = all genes.

    Parameters
    ----------
    counts
        Cells x genes of the model, raw counts.
    n_hvg
        Wanted number; 0 or less = all.
    fit_rows
        Cells that may be looked at; all where None.
    warnings
        Told when no gene varies.
    """
    if n_hvg <= 0 or n_hvg >= counts.shape[1]:
        return None
    seen = counts if fit_rows is None else counts[np.asarray(fit_rows)]
    present = np.unique(seen.indices)
    if n_hvg >= present.size:
        return present
    chosen = highly_variable_genes(seen[:, present], n_hvg)
    if not chosen.size:
        warnings.append("no gene varies among the cells seen, so that all genes were kept")
        return present
    return present[chosen]
