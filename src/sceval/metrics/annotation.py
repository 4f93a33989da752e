"""Metrics of cell type annotation: per-class scores, their means, and how honest the probabilities are.

Definitions are scikit-learn's (importing it costs seconds, so they are written out here and tested against it).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: A prediction of this name is an abstention: it counts as wrong and is no class of its own.
UNASSIGNED = "unassigned"
IDS = (
    "accuracy", "macro_precision", "macro_recall", "macro_f1", "balanced_accuracy", "mcc", "log_loss", "brier", "ece",
)  # fmt: skip
_BINS = 15


@dataclass
class Annotation:
    """Scores of one set of predictions.

    ``values``: id to number. ``units``: per-cell ``accuracy`` (0 or 1), ``log_loss`` and ``brier``. ``classes``: names
    in the order of the tables. ``per_class``: name, cells, predicted, precision, recall, f1, in_macro. ``confusion``:
    true x predicted, the last column being ``unassigned``. ``findings``: sentences.
    """

    values: dict[str, float]
    units: dict[str, np.ndarray]
    classes: list[str]
    per_class: list[dict]
    confusion: np.ndarray
    findings: list[str] = field(default_factory=list)


def annotation_values(
    y_true, y_pred, proba=None, classes=None, weights: np.ndarray | None = None, min_cells: int = 20
) -> Annotation:
    """Score predictions of cell types.

    Parameters
    ----------
    y_true, y_pred
        Names, one per cell. ``unassigned`` is allowed as a prediction. No true name may be missing.
    proba
        Probabilities, cells x classes, rows summing to 1; without them log-loss, Brier and ECE are NaN.
    classes
        Names of the columns of ``proba``. A true class that has no column gets probability 0 there.
    weights
        Weight of each cell (bootstrap counts); all 1 if absent. Which classes take part is decided without weights.
    min_cells
        Classes with fewer true cells stay out of the macro averages and of balanced accuracy, and are listed.

    Returns
    -------
    annotation
        Undefined precision (a class never predicted) counts as 0. Classes that are predicted but never true have no
        cells and so stay out of macro averages; their wrong predictions cost the recall of the others.

    Raises
    ------
    ValueError
        On lengths that differ, no cells, a true type called ``unassigned``, or probabilities that are
        negative, not finite or do not sum to 1.
    """
    true, pred = np.asarray(y_true).astype(str), np.asarray(y_pred).astype(str)
    if len(true) != len(pred) or not len(true):
        raise ValueError(f"{len(true)} true and {len(pred)} predicted labels were given")
    if UNASSIGNED in set(true.tolist()):
        raise ValueError(f"{int((true == UNASSIGNED).sum())} cells have the true type {UNASSIGNED!r}: leave them out")
    w = np.ones(len(true)) if weights is None else np.asarray(weights, dtype=float)
    columns = [] if classes is None else [str(name) for name in classes]
    names = sorted(set(columns) | set(true.tolist()) | set(pred.tolist()) - {UNASSIGNED})
    number = {name: i for i, name in enumerate(names)}
    t = np.array([number[name] for name in true.tolist()])
    p = np.array([number.get(name, len(names)) for name in pred.tolist()])
    table = _confusion(t, p, len(names), w)
    cells = np.bincount(t, minlength=len(names))
    in_macro = cells >= max(min_cells, 1)
    findings = _class_findings(names, cells, in_macro, min_cells, int((p == len(names)).sum()), len(true))
    precision, recall, f1 = class_scores(table)
    values = {
        "accuracy": float(np.average(t == p, weights=w)) if w.sum() else float("nan"),
        "macro_precision": _mean(precision, in_macro),
        "macro_recall": _mean(recall, in_macro),
        "macro_f1": _mean(f1, in_macro),
        "balanced_accuracy": _mean(recall, in_macro & (table.sum(axis=1) > 0)),
        "mcc": mcc(table),
    }
    units = {"accuracy": (t == p).astype(float)}
    if proba is None:
        values |= dict.fromkeys(("log_loss", "brier", "ece"), float("nan"))
        findings.append("no probabilities were given: log-loss, Brier and ECE are undefined")
    else:
        full = _full_probabilities(proba, columns, number, len(true))
        lacking = sorted(set(true.tolist()) - set(columns))
        if lacking:
            findings.append(f"the probabilities have no column for: {', '.join(lacking)} (probability 0 there)")
        units["log_loss"], units["brier"] = log_losses(full, t), brier_scores(full, t)
        for name in ("log_loss", "brier"):
            values[name] = float(np.average(units[name], weights=w)) if w.sum() else float("nan")
        values["ece"] = ece(full, t, w)
    per_class = [
        {
            "class": name, "cells": int(cells[i]), "predicted": int((p == i).sum()), "precision": float(precision[i]),
            "recall": float(recall[i]), "f1": float(f1[i]), "in_macro": bool(in_macro[i]),
        }
        for i, name in enumerate(names)
    ]  # fmt: skip
    return Annotation(values, units, names, per_class, table, findings)


def class_scores(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class from a confusion matrix (true x predicted); 0 where nothing divides."""
    hit = np.diagonal(table)
    predicted, true = table.sum(axis=0)[: len(hit)], table.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(predicted > 0, hit / predicted, 0.0)
        recall = np.where(true > 0, hit / true, 0.0)
        f1 = np.where(predicted + true > 0, 2 * hit / (predicted + true), 0.0)
    return precision, recall, f1


def mcc(table: np.ndarray) -> float:
    """Matthews correlation for many classes, -1 to 1; 0 where one side is constant. Source: Gorodkin 2004."""
    total, hit = table.sum(), np.trace(table)
    predicted = table.sum(axis=0)
    true = np.zeros(len(predicted))
    true[: len(table)] = table.sum(axis=1)
    spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
    return float((hit * total - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def log_losses(proba: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Minus the log of the true class's probability, clipped at float64 machine epsilon; 0 and up, natural log."""
    eps = np.finfo(np.float64).eps
    return -np.log(np.clip(proba[np.arange(len(t)), t], eps, 1 - eps))


def brier_scores(proba: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Squared distance to the one-hot vector, summed over classes, 0 to 2. Source: Brier 1950."""
    right = proba[np.arange(len(t)), t]
    return np.einsum("ij,ij->i", proba, proba) - 2 * right + 1


def ece(proba: np.ndarray, t: np.ndarray, weights: np.ndarray | None = None, bins: int = _BINS) -> float:
    """Expected calibration error of the top class, 0 to 1, bins (low, high] of equal width. Source: Guo et al. 2017."""
    w = np.ones(len(t)) if weights is None else weights
    if not w.sum():
        return float("nan")
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == t
    where = np.clip(np.searchsorted(np.linspace(0, 1, bins + 1), confidence, side="left") - 1, 0, bins - 1)
    # share x |accuracy - confidence| of a bin is |sum of (right - confidence)| over all weight.
    gaps = np.bincount(where, weights=w * (right - confidence), minlength=bins)
    return float(np.abs(gaps).sum() / w.sum())


def _confusion(t: np.ndarray, p: np.ndarray, n: int, w: np.ndarray) -> np.ndarray:
    return np.bincount(t * (n + 1) + p, weights=w, minlength=n * (n + 1)).reshape(n, n + 1)


def _mean(scores: np.ndarray, take: np.ndarray) -> float:
    return float(scores[take].mean()) if take.any() else float("nan")


def _full_probabilities(proba, columns: list[str], number: dict[str, int], n: int) -> np.ndarray:
    proba = np.asarray(proba, dtype=np.float64)
    if proba.shape != (n, len(columns)):
        raise ValueError(f"the probabilities have shape {proba.shape}, expected ({n}, {len(columns)}): cells x classes")
    if len(set(columns)) != len(columns):
        raise ValueError("a class name stands twice among the columns of the probabilities")
    off = ~np.isfinite(proba).all(axis=1) | (proba < 0).any(axis=1) | (np.abs(proba.sum(axis=1) - 1) > 1e-3)
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise ValueError(
            f"the probabilities of {int(off.sum())} cells are negative, not finite or do not sum to 1, the first in "
            f"row {row} (sum {proba[row].sum():.4f})"
        )
    full = np.zeros((n, len(number)))
    full[:, [number[name] for name in columns]] = proba
    return full


def _class_findings(names, cells, in_macro, min_cells: int, abstained: int, n: int) -> list[str]:
    found = []
    rare = [
        f"{name} ({count})" for name, count, taken in zip(names, cells, in_macro, strict=True) if count and not taken
    ]
    if rare:
        found.append(f"types with fewer than {min_cells} cells stay out of macro averages: {', '.join(rare)}")
    absent = [name for name, count in zip(names, cells, strict=True) if not count]
    if absent:
        found.append(f"known or predicted but never true here: {', '.join(absent)}")
    if abstained:
        found.append(f"{abstained} of {n} cells are {UNASSIGNED}: counted as wrong")
    return found
