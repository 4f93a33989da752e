"""Metrics of gene function: how well probabilities rank and name the classes of genes."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve, ties by mid-ranks (Mann and Whitney 1947); NaN where one class is absent.

    Parameters
    ----------
    truth
        True where positive, n.
    score
        Higher is more positive, n.
    """
    truth = np.asarray(truth, bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Average precision, tied scores taken as one step (the definition of scikit-learn); NaN without a positive."""
    truth = np.asarray(truth, bool)
    if not truth.any():
        return float("nan")
    order = np.argsort(-np.asarray(score), kind="stable")
    hits, sorted_score = truth[order], np.asarray(score)[order]
    last = np.append(np.flatnonzero(np.diff(sorted_score)), len(hits) - 1)
    found = np.cumsum(hits)[last]
    precision = found / (last + 1)
    recall = found / truth.sum()
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def gene_function_values(
    truth: np.ndarray, classes: np.ndarray, probability: np.ndarray
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Score class probabilities of genes.

    Parameters
    ----------
    truth
        Class of each gene, n.
    classes
        Names of the columns of `probability`, c.
    probability
        n x c, rows sum to 1.

    Returns
    -------
    values, units
        `gene_auroc` and `gene_auprc`: one class against the rest, mean over the classes that are true here and not of
        all genes (with two classes the rarer one is the positive one). `gene_auprc_lift`: the same ratio to the share
        of the class, on which a guess has 1. `gene_accuracy`, `gene_f1` (macro). Units: `gene_accuracy` of each gene.
    """
    truth = np.asarray(truth).astype(str)
    names = [str(name) for name in classes]
    counts = {name: int((truth == name).sum()) for name in sorted(set(truth))}
    ranked = [name for name, count in counts.items() if 0 < count < len(truth)]
    if len(ranked) == 2:
        ranked = [min(ranked, key=lambda name: (counts[name], name))]
    roc, precision, lift = [], [], []
    for name in ranked:
        score = probability[:, names.index(name)] if name in names else np.zeros(len(truth))
        roc.append(auroc(truth == name, score))
        precision.append(average_precision(truth == name, score))
        lift.append(precision[-1] * len(truth) / counts[name])
    guess = np.array(names, object)[probability.argmax(axis=1)].astype(str)
    right = (guess == truth).astype(float)
    f1 = []
    for name in counts:
        both = int(((guess == name) & (truth == name)).sum())
        f1.append(2 * both / (int((guess == name).sum()) + counts[name]))
    mean = {"gene_auroc": roc, "gene_auprc": precision, "gene_auprc_lift": lift, "gene_f1": f1}
    values = {name: float(np.mean(parts)) if parts else float("nan") for name, parts in mean.items()}
    values["gene_accuracy"] = float(right.mean()) if len(right) else float("nan")
    return values, {"gene_accuracy": right}
