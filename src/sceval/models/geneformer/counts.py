"""Counts as Geneformer takes them: columns of the same gene added up, in the order of tokens; sparse throughout."""

from __future__ import annotations

import numpy as np
from scipy import sparse

SCALE = 10_000.0
"""Cells are scaled to this total; it cancels in the ranks."""


def collapse(counts: sparse.csr_matrix, ids: np.ndarray, n_tokens: int) -> sparse.csr_matrix:
    """Return counts by token: cells x tokens (CSR, float64, sorted, without zeros), columns of one token added up.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    ids
        Token of each column, below 0 where it is unknown.
    n_tokens
        Size of the vocabulary.
    """
    counts = sparse.csr_matrix(counts)
    ids = np.asarray(ids, np.int64)
    known = ids[counts.indices] >= 0
    ends = np.concatenate([[0], np.cumsum(known)])
    indptr = ends[counts.indptr]
    data, indices = counts.data[known].astype(np.float64), ids[counts.indices[known]]
    out = sparse.csr_matrix((data, indices, indptr), shape=(counts.shape[0], n_tokens))
    out.sum_duplicates()
    out.eliminate_zeros()
    return out


def cell_totals(counts: sparse.csr_matrix) -> np.ndarray:
    """Total counts of each cell over all genes of the file, float64."""
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()
