"""Gene networks against a reference network: AUPRC, AUROC and early precision, by the definitions of BEELINE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NetworkScores:
    """``auprc`` (trapezoid), ``average_precision``, ``auroc``, ``epr`` and what it is made of; edge counts."""

    auprc: float
    average_precision: float
    auroc: float
    epr: float
    early_precision: float
    random_precision: float
    n_true: int
    n_possible: int


def network_scores(truth, predicted, weights, regulators_only: bool = False) -> NetworkScores:
    """Score predicted edges.

    Parameters
    ----------
    truth, predicted
        Pairs (source, target) of gene names; self-loops and duplicates are dropped (of duplicates the largest weight
        stays).
    weights
        Weight of each predicted edge; its absolute value counts.
    regulators_only
        Restrict sources to the regulators of the truth; predictions outside are then removed before the early
        precision. Without it the early precision is *not* limited to the genes of the truth.

    Returns
    -------
    scores
        AUPRC and AUROC over all ordered pairs of the truth's genes, missing pairs at 0. EPR = early precision /
        density; k = true edges, cut-off = max(smallest weight above 0, weight at rank min(k, predictions)), ties all
        kept. Source: Pratapa et al. 2020 (BEELINE).
    """
    edges = {(str(a), str(b)) for a, b in truth if str(a) != str(b)}
    genes = sorted({str(gene) for pair in truth for gene in pair})
    sources = sorted({a for a, _ in edges}) if regulators_only else genes
    best: dict[tuple[str, str], float] = {}
    for (a, b), weight in zip(predicted, np.abs(np.asarray(weights, dtype=float)), strict=True):
        pair = (str(a), str(b))
        if pair[0] != pair[1]:
            best[pair] = max(best.get(pair, 0.0), float(weight))
    possible = [(a, b) for a in sources for b in genes if a != b]
    true = np.array([pair in edges for pair in possible])
    score = np.array([best.get(pair, 0.0) for pair in possible])
    if regulators_only:
        allowed = set(possible)
        best = {pair: weight for pair, weight in best.items() if pair in allowed}
    density = len(edges) / len(possible) if possible else float("nan")
    early = early_precision(edges, best)
    area, average = precision_recall(true, score)
    epr = early / density if edges else float("nan")
    return NetworkScores(area, average, auroc(true, score), epr, early, density, len(edges), len(possible))


def early_precision(edges: set[tuple[str, str]], best: dict[tuple[str, str], float]) -> float:
    """Precision among the predicted edges that reach the cut-off; 0 where no weight is above 0."""
    weights = np.array(list(best.values()))
    positive = weights[weights > 0]
    if not len(positive) or not edges:
        return 0.0
    at_rank = np.sort(weights)[::-1][min(len(edges), len(weights)) - 1]
    cut = max(positive.min(), at_rank)
    chosen = [pair for pair, weight in best.items() if weight >= cut]
    return sum(pair in edges for pair in chosen) / len(chosen)


def precision_recall(true: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Area under the precision-recall points (trapezoid, as BEELINE) and average precision; NaN without a true case."""
    if not true.any():
        return float("nan"), float("nan")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    hits = np.cumsum(true[order])[last]
    precision = np.concatenate([[1.0], hits / (last + 1)])
    recall = np.concatenate([[0.0], hits / true.sum()])
    return float(np.trapezoid(precision, recall)), float(np.sum(np.diff(recall) * precision[1:]))


def auroc(true: np.ndarray, score: np.ndarray) -> float:
    """Probability that a true case ranks above a false one, ties counting half; NaN where one kind is absent."""
    n_true, n_false = int(true.sum()), int((~true).sum())
    if not n_true or not n_false:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[true].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))
