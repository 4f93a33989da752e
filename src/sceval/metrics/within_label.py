"""Batch mixing inside each label: CiLISI, and the evaluation of the per-label kBET on a subset of the cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sceval.metrics.kbet import LabelTest, acceptance
from sceval.metrics.lisi import lisi, neighbor_probabilities, scale_mixing
from sceval.metrics.neighbors import knn
from sceval.metrics.space import N_NEIGHBORS, PERPLEXITY


@dataclass(frozen=True)
class LabelKernel:
    """Neighbours of one label's cells among themselves (row numbers) and their LISI weights."""

    rows: np.ndarray
    neighbors: np.ndarray
    weights: np.ndarray


def label_kernels(
    X: np.ndarray, labels: np.ndarray, batches: np.ndarray
) -> tuple[list[LabelKernel], list[int], list[int]]:
    """Find the neighbourhoods for CiLISI.

    Parameters
    ----------
    X
        Embedding, cells x dimensions.
    labels, batches
        Codes, one per cell.

    Returns
    -------
    kernels, left_out, capped
        One kernel per label with at least 10 cells and 2 batches; the label codes left out; those with fewer than
        90 other cells, where the perplexity is a third of the neighbours instead of 30 (with 30 all weights would be
        equal). Source: Andreatta et al. 2024.
    """
    kernels, left_out, capped = [], [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 10 or len(np.unique(batches[rows])) < 2:
            left_out.append(int(label))
            continue
        indices, distances = knn(X[rows], N_NEIGHBORS)
        others = distances.shape[1] - 1
        perplexity = min(PERPLEXITY, max(2, (others + 1) // 3))
        if perplexity < PERPLEXITY:
            capped.append(int(label))
        weights = neighbor_probabilities(distances[:, 1:], perplexity)
        kernels.append(LabelKernel(rows, rows[indices[:, 1:]], weights))
    return kernels, left_out, capped


def cilisi_samples(kernels: list[LabelKernel], keep: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """CiLISI of each cell, 0 to 1: (LISI - 1) / (B of the label - 1), clipped; NaN for cells not kept or not scored."""
    out = np.full(len(batches), np.nan)
    for kernel in kernels:
        mine = keep[kernel.rows]
        rows, lists = kernel.rows[mine], kernel.neighbors[mine]
        n_here = len(np.unique(batches[rows]))
        if n_here < 2:
            continue
        values = lisi(kernel.weights[mine] * keep[lists], batches[lists], int(batches.max()) + 1)
        out[rows] = np.clip(scale_mixing(values, n_here), 0.0, 1.0)
    return out


def kbet_samples(tests: list[LabelTest], keep: np.ndarray, batches: np.ndarray) -> tuple[np.ndarray, dict[int, float]]:
    """Acceptance of each kept cell in its own label (NaN where not tested) and the share accepted per label."""
    out = np.full(len(batches), np.nan)
    shares: dict[int, float] = {}
    for test in tests:
        rows = test.rows[keep[test.rows]]
        frequencies = np.bincount(batches[rows], minlength=int(batches.max()) + 1)
        if (frequencies > 0).sum() < 2:
            continue
        if test.rejected:
            out[rows] = 0.0
        else:
            lists = test.neighbors[keep[test.rows]]
            kept = keep[lists]
            present = kept & (np.cumsum(kept, axis=1) <= test.k)
            out[rows] = acceptance(batches[lists], present, frequencies)
        shares[test.label] = float(np.nanmean(out[rows]))
    return out, shares
