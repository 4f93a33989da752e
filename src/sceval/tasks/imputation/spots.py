"""Scores and anchors of `spatial`: genes that spots lack, predicted from single cells; any scale, gene by gene."""

from __future__ import annotations

import numpy as np

from sceval.metrics.imputation import (
    js_columns,
    pearson_columns,
    pearson_p,
    rmse_z,
    spearman_columns,
    ssim_columns,
)
from sceval.metrics.imputation_clusters import average_bio
from sceval.metrics.resampling import Plan
from sceval.tasks.base import Scored
from sceval.tasks.imputation.truth import REPEATS, Truth

STUDY_P = 0.005
"""p value below which the study calls a gene significant."""


def gene_values(pred: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return metric -> value of each gene (k) for predictions and counts of spots, m x k."""
    pred, y = np.asarray(pred, np.float64), np.asarray(y, np.float64)
    r = pearson_columns(pred, y)
    p = pearson_p(np.nan_to_num(r), len(y))
    return {
        "imp_pearson_gene": r,
        "imp_spearman_gene": spearman_columns(pred, y),
        "imp_ssim": ssim_columns(pred, y),
        "imp_js": js_columns(pred, y),
        "imp_rmse_z": rmse_z(pred, y),
        "imp_significant": ((p < STUDY_P) & (r > 0)).astype(float),
        "imp_significant_study": (p < STUDY_P).astype(float),
    }


def _bio(held: np.ndarray, truth: Truth) -> float:
    """Average bio of the spots' genes: those that they show, and the held-out ones at the scale of their counts."""
    both = truth.view.X[truth.rows].toarray()
    mean = held.mean(axis=0)
    factor = np.divide(truth.y.mean(axis=0), mean, out=np.zeros_like(mean), where=mean > 0)
    both[:, truth.columns] = held * factor
    return average_bio(both, truth.labels)


def score_spots(X: np.ndarray, truth: Truth, plan: Plan, findings: list[str]) -> Scored:
    """Score predictions of the held-out genes, m x k; means over the genes that can be told."""
    told = truth.told
    table = gene_values(X[:, told], truth.y[:, told])
    # The study counts every gene.
    table["imp_significant_study"] = gene_values(X, truth.y)["imp_significant_study"]
    names = truth.view.var_names[truth.columns]
    units = {name: (names if len(v) == len(names) else names[told], v) for name, v in table.items()}
    values = {name: float(np.mean(v)) if len(v) else float("nan") for name, v in table.items()}
    replicates = {
        name: np.array([v[mask].mean() if mask.any() else np.nan for mask in plan.masks])
        for name, v in table.items()
        if len(v) == told.sum()
    }
    bio = _bio(X, truth)
    values |= {"imp_avg_bio": bio, "imp_bio_gain": bio - truth.bio[0]}
    return Scored(values, replicates, units, names, [*findings, *truth.findings])


def anchors_spots(truth: Truth) -> dict[str, dict[str, list[float]]]:
    """Return floor (the spot's total) and ceiling (rates drawn given the counts; Pearson: from halves)."""
    told = truth.told
    y, floor = truth.y[:, told], truth.floor[:, told]
    out = {name: {"floor": [float(np.mean(v))], "ceiling": []} for name, v in gene_values(floor, y).items()}
    for seed in range(REPEATS):
        drawn = truth.drawn(np.random.default_rng([1, seed]))
        for name, v in gene_values(drawn[:, told], y).items():
            out[name]["ceiling"].append(float(np.mean(v)))
    out["imp_pearson_gene"]["ceiling"] = list(np.sqrt(truth.gene_reliability[1][:, told]).mean(axis=1))
    return out
