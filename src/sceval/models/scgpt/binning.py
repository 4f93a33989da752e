"""Quantile bins of the expressed genes of a cell, for many cells at once.

For one cell, the edges are the quantiles of its non-zero values at ``n_bins - 1`` evenly spaced probabilities (linear
interpolation). Zeros stay in bin 0. A value x with L edges <= x and R edges < x goes to

* rule ``one``: bin L (what the official models saw in pre-training; deterministic);
* rule ``both``: bin ceil(u (R - L) + L) with u uniform in [0, 1) (upstream since September 2023; ties scatter).

Edges are float64: in float32 an edge that should fall on a data point can land beside it, which moves values by a bin.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

RULES = ("one", "both")


def row_edges(sorted_values: np.ndarray, offsets: np.ndarray, n_bins: int) -> np.ndarray:
    """Quantile edges of each row, equal to ``numpy.quantile`` to the last bit.

    Parameters
    ----------
    sorted_values
        Values of all rows, each row ascending.
    offsets
        Start of each row, length n_rows + 1; no row is empty.
    n_bins
        Number of bins, the zero bin included.

    Returns
    -------
    numpy.ndarray
        float64, n_rows x (n_bins - 1).
    """
    last = (np.diff(offsets) - 1)[:, None]
    position = last * np.linspace(0.0, 1.0, n_bins - 1)[None, :]
    below = np.minimum(np.floor(position).astype(np.int64), last)
    above = np.minimum(below + 1, last)
    low, high = sorted_values[offsets[:-1, None] + below], sorted_values[offsets[:-1, None] + above]
    weight = position - below
    # The two-sided form and the difference in the type of the data are numpy's own, rounding included.
    step = high - low
    return np.where(weight >= 0.5, high - step * (1 - weight), low + step * weight).astype(np.float64)


def _first_reaching(sorted_values: np.ndarray, offsets: np.ndarray, edges: np.ndarray, *, strict: bool) -> np.ndarray:
    """Position in its row of the first value >= edge (> edge if strict), by one binary search for all rows."""
    low = np.repeat(offsets[:-1, None], edges.shape[1], axis=1)
    high = np.repeat(offsets[1:, None], edges.shape[1], axis=1)
    while (open_ := low < high).any():
        middle = np.where(open_, (low + high) // 2, 0)
        value = sorted_values[middle]
        reached = value > edges if strict else value >= edges
        high = np.where(open_ & reached, middle, high)
        low = np.where(open_ & ~reached, middle + 1, low)
    return low


def _count_edges(first: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """For each sorted value, how many edges of its row begin at or before it."""
    total = int(offsets[-1])
    steps = np.bincount(first.ravel(), minlength=total + 1)[:total]
    running = np.cumsum(steps)
    # Edges of earlier rows that begin inside their row are in the running sum; take off what stood before each row.
    before = np.concatenate([[0], running])[offsets[:-1]]
    # An edge beyond the last value of its row would count at the start of the next one.
    spill = np.zeros(offsets.size, dtype=np.int64)
    np.add.at(spill, 1 + np.nonzero(first == offsets[1:, None])[0], 1)
    return running - np.repeat(before + spill[:-1], np.diff(offsets))


def bin_values(
    values: np.ndarray, offsets: np.ndarray, n_bins: int = 51, *, rule: str = "one", uniforms: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Bin the positive values of many cells.

    Parameters
    ----------
    values
        Positive values of all cells, one after the other; float32 or float64.
    offsets
        Start of each cell, length n_cells + 1; empty cells are allowed.
    n_bins
        Number of bins, the zero bin included; at least 3.
    rule
        ``one`` or ``both``.
    uniforms
        Rule ``both`` only: a number in [0, 1) for each value.

    Returns
    -------
    bins, edges
        int64 bins 1 .. n_bins - 1 in the order of the values; edges (NaN for empty cells).

    Raises
    ------
    ValueError
        Unknown rule, missing uniforms, or values that are not positive and finite.
    """
    if rule not in RULES:
        raise ValueError(f"unknown binning rule {rule!r}; choose one of {', '.join(RULES)}")
    if rule == "both" and (uniforms is None or len(uniforms) != len(values)):
        raise ValueError("binning rule 'both' needs one uniform number for each non-zero value")
    if n_bins < 3:
        raise ValueError(f"n_bins must be at least 3, got {n_bins}")
    offsets = np.asarray(offsets, dtype=np.int64)
    values = np.asarray(values)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if values.size and not (np.isfinite(values).all() and values.min() > 0):
        raise ValueError("binning takes finite, non-negative expression; found negative or non-finite values")
    sizes = np.diff(offsets)
    edges = np.full((sizes.size, n_bins - 1), np.nan)
    bins = np.zeros(values.size, dtype=np.int64)
    filled = np.flatnonzero(sizes > 0)
    if filled.size == 0:
        return bins, edges
    starts = np.concatenate([offsets[filled], offsets[-1:]])
    order = np.lexsort((values, np.repeat(np.arange(filled.size), sizes[filled])))
    ordered = values[order]
    edges[filled] = row_edges(ordered, starts, n_bins)
    upper = _count_edges(_first_reaching(ordered, starts, edges[filled], strict=False), starts)
    if rule == "one":
        bins[order] = upper
    else:
        lower = _count_edges(_first_reaching(ordered, starts, edges[filled], strict=True), starts)
        bins[order] = np.ceil(np.asarray(uniforms)[order] * (lower - upper) + upper).astype(np.int64)
    return bins, edges


def bin_rows(
    matrix: sp.csr_matrix,
    n_bins: int = 51,
    *,
    rule: str = "one",
    uniforms: np.ndarray | None = None,
    rows_per_block: int = 4096,
) -> tuple[sp.csr_matrix, np.ndarray]:
    """Bin every row of a CSR matrix; nothing dense is made, and rows are taken in blocks to keep memory flat.

    Returns
    -------
    binned, edges
        CSR float32 of the same pattern (explicit zeros removed), and float64 edges, one row per cell.
    """
    matrix = sp.csr_matrix(matrix, copy=True)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    data = np.empty(matrix.nnz, dtype=np.float32)
    edges = np.empty((matrix.shape[0], n_bins - 1))
    for start in range(0, matrix.shape[0], rows_per_block):
        stop = min(start + rows_per_block, matrix.shape[0])
        first, last = matrix.indptr[start], matrix.indptr[stop]
        data[first:last], edges[start:stop] = bin_values(
            matrix.data[first:last],
            matrix.indptr[start : stop + 1] - first,
            n_bins,
            rule=rule,
            uniforms=None if uniforms is None else uniforms[first:last],
        )
    return sp.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape), edges
