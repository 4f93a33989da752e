"""Agreement of a clustering with labels: contingency table, NMI, ARI, best-cluster F1."""

from __future__ import annotations

import numpy as np


def contingency(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Count how often code ``i`` of ``a`` meets code ``j`` of ``b``.

    Parameters
    ----------
    a, b
        Codes from 0, one per cell.
    weights
        Weight of each cell (0 leaves it out, 2 counts it twice); all 1 if absent.

    Returns
    -------
    table
        float64, (max(a)+1) x (max(b)+1).
    """
    a = np.asarray(a, dtype=np.int64)
    b = np.asarray(b, dtype=np.int64)
    if len(a) == 0:
        return np.zeros((0, 0))
    width = int(b.max()) + 1
    size = (int(a.max()) + 1) * width
    return np.bincount(a * width + b, weights=weights, minlength=size).astype(float).reshape(-1, width)


def nmi(table: np.ndarray) -> float:
    """Normalised mutual information with the arithmetic mean of the entropies, 0 to 1.

    Parameters
    ----------
    table
        Contingency table. Source: Strehl and Ghosh 2002; scikit-learn's and scib's default. One class on both
        sides is full agreement (1); one class on one side alone tells nothing (0).
    """
    total = table.sum()
    if total == 0:
        return float("nan")
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    h_rows, h_columns = _entropy(rows / total), _entropy(columns / total)
    if (rows > 0).sum() == 1 and (columns > 0).sum() == 1:
        return 1.0
    i, j = np.nonzero(table)
    cells = table[i, j]
    information = np.sum(cells / total * (np.log(cells) - np.log(rows[i]) - np.log(columns[j]) + np.log(total)))
    mean = (h_rows + h_columns) / 2
    # Rounding can leave -1e-17 where nothing is shared.
    return float(np.clip(information / mean, 0.0, 1.0)) if mean > 0 else 0.0


def ari(table: np.ndarray) -> float:
    """Adjusted Rand index, -0.5 to 1 (0 by chance). Source: Hubert and Arabie 1985."""
    total = table.sum()
    if total == 0:
        return float("nan")
    both = _pairs(table).sum()
    rows, columns = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    expected = rows * columns / _pairs(total) if total > 1 else 0.0
    largest = (rows + columns) / 2
    if largest == expected:
        return 1.0
    return float((both - expected) / (largest - expected))


def best_f1(table: np.ndarray, column: int) -> float:
    """Highest F1, over clusters (rows), of a cluster against the label in ``column``. Source: scIB (Luecken 2022)."""
    if column >= table.shape[1]:
        return float("nan")
    size = table[:, column].sum()
    if size == 0:
        return float("nan")
    return float(np.max(2 * table[:, column] / (table.sum(axis=1) + size)))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-np.sum(p * np.log(p)))


def _pairs(counts):
    return counts * (counts - 1) / 2
