"""Does a classifier know what it does not know: types that its reference lacks, and what abstaining would buy."""

from __future__ import annotations

import numpy as np

from sceval.metrics.annotation import UNASSIGNED
from sceval.metrics.gene_function import auroc, average_precision

COVERAGES = (90, 70, 50)
"""Percent of the cells, the surest ones, at which the rejection curve is told."""
IDS = ("unseen_auroc", "unseen_auprc", "rejection_auc", *(f"accuracy_at_{percent}" for percent in COVERAGES))


def doubts(prediction: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Return how unsure each prediction is: 1 - confidence (0 to 1), and 1 more where it abstains.

    Parameters
    ----------
    prediction
        Predicted names, n.
    confidence
        0 to 1, n. Whoever says `unassigned` doubts more than the least confident label does.
    """
    return 1.0 - np.asarray(confidence, float) + (np.asarray(prediction).astype(str) == UNASSIGNED)


def rejection_curve(right: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """Return the accuracy among the m surest cells for m = 1 to n; within equal doubts, its mean over their orders.

    Source: the accuracy-rejection curve of Nadeem et al. 2009; its mean is 1 minus the area under the risk-coverage
    curve of Geifman and El-Yaniv 2017.

    Parameters
    ----------
    right
        1 where the label is right, 0 where it is wrong, n.
    doubt
        Higher is less sure, n.
    """
    values, group, sizes = np.unique(doubt, return_inverse=True, return_counts=True)
    mean = np.bincount(group, weights=np.asarray(right, float), minlength=len(values)) / sizes
    return np.cumsum(np.repeat(mean, sizes)) / np.arange(1, len(right) + 1)


def rejection_values(right: np.ndarray, doubt: np.ndarray, unseen: np.ndarray) -> dict[str, float]:
    """Score doubts where some cells are of types that no labelled cell has.

    Parameters
    ----------
    right
        Whether the label is right, n; never so for an unseen type.
    doubt
        See `doubts`.
    unseen
        Whether the true type is unseen, n.

    Returns
    -------
    values
        `unseen_auroc`, `unseen_auprc` (doubt ranks unseen over seen), `rejection_auc` (mean of the rejection curve)
        and its height at each of `COVERAGES`. NaN where there is no unseen or no seen cell, or no cell at all.
    """
    out = dict.fromkeys(IDS, float("nan"))
    n = len(right)
    if not n:
        return out
    if unseen.any() and not unseen.all():
        out["unseen_auroc"], out["unseen_auprc"] = auroc(unseen, doubt), average_precision(unseen, doubt)
    curve = rejection_curve(right, doubt)
    out["rejection_auc"] = float(curve.mean())
    for percent in COVERAGES:
        out[f"accuracy_at_{percent}"] = float(curve[max(round(percent * n / 100), 1) - 1])
    return out


def best_values(unseen: np.ndarray) -> dict[str, float]:
    """Return what is possible at best: every seen cell right, every unseen one doubted more."""
    return rejection_values(~unseen, unseen.astype(float), unseen)
