"""Highly variable genes of raw counts, batch by batch, without a dense matrix.

The method is Seurat v3's variance-stabilizing choice (Stuart et al. 2019, Cell 177:1888): a local quadratic regression
of log10 variance on log10 mean gives the variance to be expected; a gene's score is the variance of its standardized
counts, clipped at sqrt(n). With several batches, genes are ranked in each and the median rank decides, then the number
of batches in which the gene is among the first.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.data.preprocess import column_moments

_SPAN = 0.3
_GRID = 200


def local_quadratic(x: np.ndarray, y: np.ndarray, *, span: float = _SPAN, grid: int = _GRID) -> np.ndarray:
    """Fit a local quadratic regression with tricube weights (Cleveland 1979) and return its value at each ``x``.

    It is solved at up to ``grid`` quantiles of ``x`` and interpolated linearly between them.

    Parameters
    ----------
    x, y
        Points, n each.
    span
        Share of the points that has weight at a place, 0 to 1.
    """
    nodes = np.unique(np.quantile(x, np.linspace(0, 1, min(grid, x.size))))
    size = min(max(int(np.ceil(span * x.size)), min(4, x.size)), x.size)
    fitted = np.empty(nodes.size)
    for i, node in enumerate(nodes):
        distance = np.abs(x - node)
        radius = max(np.partition(distance, size - 1)[size - 1], 1e-12) * (1 + 1e-9)
        near = distance < radius
        shift = (x[near] - node) / radius
        root = np.sqrt((1 - np.abs(shift) ** 3) ** 3)
        design = np.stack([np.ones_like(shift), shift, shift**2], axis=1) * root[:, None]
        fitted[i] = np.linalg.lstsq(design, y[near] * root, rcond=None)[0][0]
    return np.interp(x, nodes, fitted)


def standardized_variance(counts: sparse.csr_matrix) -> np.ndarray:
    """Variance of clipped, standardized counts of each gene (g,); 0 for genes that do not vary."""
    counts = sparse.csr_matrix(counts)
    n = counts.shape[0]
    mean, variance = column_moments(counts)
    out = np.zeros(counts.shape[1])
    varying = variance > 1e-12 * mean**2  # a constant gene has a variance of rounding errors, not always of zero
    if n < 2 or not varying.any():
        return out
    expected = local_quadratic(np.log10(mean[varying]), np.log10(variance[varying]))
    deviation = np.ones_like(mean)
    deviation[varying] = np.sqrt(10**expected)
    ceiling = mean + deviation * np.sqrt(n)
    clipped = np.minimum(counts.data, ceiling[counts.indices])
    total = np.bincount(counts.indices, weights=clipped, minlength=mean.size)
    squares = np.bincount(counts.indices, weights=clipped**2, minlength=mean.size)
    score = (n * mean**2 + squares - 2 * mean * total) / ((n - 1) * deviation**2)
    out[varying] = score[varying]
    return out


def highly_variable_genes(
    counts: sparse.csr_matrix, n_top: int, batch_codes: np.ndarray | None = None, *, min_cells: int = 2
) -> np.ndarray:
    """Return the positions of the most variable genes, ascending; fewer where fewer vary.

    Parameters
    ----------
    counts
        n x g raw counts, CSR, of the cells that may be seen.
    n_top
        Wanted number.
    batch_codes
        Batch of each cell (n,); one batch by default.
    min_cells
        Batches with fewer cells have no say.
    """
    counts = sparse.csr_matrix(counts)
    codes = np.zeros(counts.shape[0], dtype=np.int64) if batch_codes is None else np.asarray(batch_codes)
    groups = [counts[codes == code] for code in np.unique(codes)]
    kept = [group for group in groups if group.shape[0] >= min_cells] or [counts]
    scores = np.array([standardized_variance(group) for group in kept])
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable").astype(float)
    ranks[(ranks >= n_top) | (scores <= 0)] = np.nan
    chosen_in = np.isfinite(ranks).sum(axis=0)
    median = np.full(counts.shape[1], np.inf)
    median[chosen_in > 0] = np.nanmedian(ranks[:, chosen_in > 0], axis=0)
    order = np.lexsort((-chosen_in, median))
    return np.sort(order[: min(n_top, int((chosen_in > 0).sum()))])
