"""Scores and anchors of `thinning` and `masked`: predicted rates against held-out counts of the same cells."""

from __future__ import annotations

import numpy as np

from sceval.metrics.imputation import pearson_columns, poisson_nll
from sceval.metrics.imputation_clusters import average_bio
from sceval.metrics.resampling import Plan
from sceval.tasks.base import Scored
from sceval.tasks.imputation.prepare import DEPTH
from sceval.tasks.imputation.truth import REPEATS, Truth


def _means(r: np.ndarray) -> np.ndarray:
    """Mean over the defined entries of the last axis; NaN where there is none."""
    good = np.isfinite(r)
    count = good.sum(axis=-1)
    return np.where(count > 0, np.where(good, r, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _errors(pred: np.ndarray, truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return squared error and negative log likelihood summed over the entries of each cell, and their number."""
    w = 1.0 if truth.inside is None else truth.inside
    square = (w * (pred - truth.y) ** 2).sum(axis=1, dtype=np.float64)
    nll = np.empty(len(pred))
    for low in range(0, len(pred), 512):
        part = slice(low, low + 512)
        inside = 1.0 if truth.inside is None else truth.inside[part]
        nll[part] = (inside * poisson_nll(pred[part], truth.y[part])).sum(axis=1)
    n = np.full(len(pred), float(pred.shape[1])) if truth.inside is None else truth.inside.sum(axis=1).astype(float)
    return square, nll, n


def _cells(pred: np.ndarray, truth: Truth) -> np.ndarray:
    inside = None if truth.inside is None else truth.inside.T
    return pearson_columns(pred.T, truth.y.T, inside)


def _genes(pred: np.ndarray, truth: Truth, keep: np.ndarray | None = None) -> np.ndarray:
    told = truth.told
    inside = None if truth.inside is None else truth.inside[:, told]
    return pearson_columns(pred[:, told], truth.y[:, told], inside, keep)


def score_counts(X: np.ndarray, truth: Truth, plan: Plan, findings: list[str]) -> Scored:
    """Score expected counts at the depth of the view, n x g."""
    pred = X * np.float32(DEPTH[truth.split])
    square, nll, n = _errors(pred, truth)
    genes, cells = _genes(pred, truth), _cells(pred, truth)
    bio = average_bio(X, truth.labels)
    values = {
        "imp_pearson_gene": float(_means(genes)),
        "imp_mse": float(square.sum() / n.sum()),
        "imp_pearson_cell": float(_means(cells)),
        "imp_rmse": float(np.sqrt(square.sum() / n.sum())),
        "imp_nll": float(nll.sum() / n.sum()),
        "imp_avg_bio": bio,
        "imp_bio_gain": bio - truth.bio[0],
    }
    keep = plan.masks.astype(float)
    mse = keep @ square / (keep @ n) if len(keep) else np.empty(0)
    replicates = {
        "imp_pearson_gene": _means(_genes(pred, truth, plan.masks)) if len(keep) else np.empty(0),
        "imp_mse": mse,
        "imp_pearson_cell": np.array([_means(cells[mask]) for mask in plan.masks]),
        "imp_rmse": np.sqrt(mse),
        "imp_nll": keep @ nll / (keep @ n) if len(keep) else np.empty(0),
    }
    entries = np.maximum(n, 1)
    units = {
        "imp_pearson_gene": (truth.view.var_names[truth.columns][truth.told], genes),
        "imp_mse": np.where(n > 0, square / entries, np.nan),
        "imp_pearson_cell": cells,
        "imp_nll": np.where(n > 0, nll / entries, np.nan),
    }
    return Scored(values, replicates, units, truth.view.obs_names, [*findings, *truth.findings])


def anchors_counts(truth: Truth) -> dict[str, dict[str, list[float]]]:
    """Return floor (gene mean x cell total) and ceiling (what the noise of the counts allows) of each scaled metric."""
    pred = truth.floor * np.float32(DEPTH[truth.split])
    square, _, n = _errors(pred, truth)
    inside = 1.0 if truth.inside is None else truth.inside
    noise = float((inside * truth.y).sum(dtype=np.float64) / n.sum())
    genes = np.sqrt(truth.gene_reliability[1][:, truth.told])
    depth = np.float32(DEPTH[truth.split])
    drawn = [_cells(truth.drawn(np.random.default_rng([1, seed])) * depth, truth) for seed in range(REPEATS)]
    mse = float(square.sum() / n.sum())
    return {
        "imp_pearson_gene": {"floor": [float(_means(_genes(pred, truth)))], "ceiling": list(_means(genes))},
        "imp_pearson_cell": {"floor": [float(_means(_cells(pred, truth)))], "ceiling": list(_means(np.array(drawn)))},
        "imp_mse": {"floor": [mse], "ceiling": [noise]},
        "imp_rmse": {"floor": [float(np.sqrt(mse))], "ceiling": [float(np.sqrt(noise))]},
    }
