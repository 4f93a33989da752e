"""Choice of variable genes without a look at batches or labels."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.data.preprocess import column_moments

_BINS = 20


def normalized_dispersion(normalized: sparse.csr_matrix) -> np.ndarray:
    """Return the normalized dispersion of each gene (Satija et al. 2015, the `seurat` flavor of scanpy).

    Log dispersion (variance / mean), standardized among the genes of one of 20 bins of equal width in log mean. A gene
    alone in its bin gets 1, as in the original.

    Parameters
    ----------
    normalized
        n x g counts per 10,000, CSR, not in logarithms.

    Returns
    -------
    g values; -inf for a gene that no cell expresses or that does not vary.
    """
    mean, variance = column_moments(normalized)
    out = np.full(len(mean), -np.inf)
    usable = (mean > 0) & (variance > 0)
    if not usable.any():
        return out
    level = np.log1p(mean[usable])
    dispersion = np.log(variance[usable] / mean[usable])
    width = max(float(np.ptp(level)), 1e-12) / _BINS
    bins = np.clip(np.ceil((level - level.min()) / width).astype(int) - 1, 0, _BINS - 1)
    n = np.bincount(bins, minlength=_BINS)
    center = np.bincount(bins, dispersion, _BINS) / np.maximum(n, 1)
    spread = np.sqrt(np.bincount(bins, (dispersion - center[bins]) ** 2, _BINS) / np.maximum(n - 1, 1))
    flat = spread[bins] <= 0
    out[usable] = np.where(flat, 1.0, (dispersion - center[bins]) / np.where(flat, 1.0, spread[bins]))
    return out


def variable_genes(log_values: sparse.csr_matrix, n_top: int) -> np.ndarray:
    """Return the positions of the most variable genes, ascending; fewer where fewer vary.

    Parameters
    ----------
    log_values
        n x g from `log_cp10k`, the cells that may be seen.
    n_top
        Wanted number.
    """
    normalized = log_values.copy()
    normalized.data = np.expm1(normalized.data)
    score = normalized_dispersion(normalized)
    order = np.argsort(-score, kind="stable")[: min(n_top, int(np.isfinite(score).sum()))]
    return np.sort(order)
