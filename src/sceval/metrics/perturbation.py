"""Predicted against measured perturbations: errors and correlations of mean profiles, by the definitions of GEARS.

Source: Roohani et al. 2024 (GEARS), its definitions of the metrics. Plain Pearson is high for any mean profile and is
no headline; Pearson-delta is taken on changes from the control mean.
"""

from __future__ import annotations

import numpy as np

Moments = tuple[np.ndarray, np.ndarray, int]

_TOP = 20


def rank_genes(perturbed: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Genes by the size of Welch's t statistic, perturbed against control, largest first.

    Parameters
    ----------
    perturbed, control
        Log-normalised expression, cells x genes; at least 2 cells each.

    Returns
    -------
    order
        Gene numbers. Genes without any variance count as 0, as in scanpy's t-test.
    """
    a, b = np.asarray(perturbed, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a t statistic needs 2 cells on each side; there are {len(a)} and {len(b)}")
    sides = [(x.mean(axis=0), x.var(axis=0, ddof=1), len(x)) for x in (a, b)]
    return rank_by_moments(*sides)


def rank_by_moments(perturbed: Moments, control: Moments) -> np.ndarray:
    """Do as ``rank_genes`` from mean, variance (n - 1) and number of cells, so that controls are summed up once."""
    spread = perturbed[1] / perturbed[2] + control[1] / control[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, (perturbed[0] - control[0]) / np.sqrt(spread), 0.0)
    return np.argsort(-np.abs(t), kind="stable")


def not_dropped_out(perturbed: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Genes that are expressed under the perturbation, or neither there nor in control."""
    here, before = np.asarray(perturbed).mean(axis=0) != 0, np.asarray(control).mean(axis=0) != 0
    return np.flatnonzero(here | ~before)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation of two profiles; NaN where one of them is constant."""
    a, b = x - x.mean(), y - y.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else float("nan")


def perturbation_scores(
    true: np.ndarray, predicted: np.ndarray, control: np.ndarray, undefined: float = 0.0
) -> dict[str, float]:
    """Score the mean profile predicted for one perturbation.

    Parameters
    ----------
    true
        Measured cells, cells x genes.
    predicted
        Predicted mean profile, one value per gene.
    control
        Control cells of the same cell type, cells x genes.
    undefined
        Value of a correlation with a constant profile; GEARS takes 0.

    Returns
    -------
    scores
        ``mse``, ``pearson``, ``pearson_delta`` over all genes; ``_de`` over the 20 top genes by ``rank_genes``; ``_nd``
        over the 20 top genes that are not dropped out.
    """
    mean = np.asarray(true, dtype=np.float64).mean(axis=0)
    guess = np.asarray(predicted, dtype=np.float64)
    if guess.shape != mean.shape:
        raise ValueError(f"the prediction has shape {guess.shape}, expected {mean.shape}: one value per gene")
    base = np.asarray(control, dtype=np.float64).mean(axis=0)
    ranked = rank_genes(true, control)
    kept = ranked[np.isin(ranked, not_dropped_out(true, control))]
    scores = {}
    for suffix, genes in (("", slice(None)), ("_de", ranked[:_TOP]), ("_nd", kept[:_TOP])):
        scores[f"mse{suffix}"] = float(np.mean((guess[genes] - mean[genes]) ** 2))
        scores[f"pearson{suffix}"] = pearson(guess[genes], mean[genes])
        scores[f"pearson_delta{suffix}"] = pearson(guess[genes] - base[genes], mean[genes] - base[genes])
    return {name: undefined if np.isnan(value) else value for name, value in scores.items()}


def top_genes(perturbed: Moments, control: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Top 20 genes by ``rank_by_moments``: of all, and of those that are not dropped out."""
    ranked = rank_by_moments(perturbed, control)
    return ranked[:_TOP], ranked[((perturbed[0] != 0) | (control[0] == 0))[ranked]][:_TOP]


def _direction(change: np.ndarray, true: np.ndarray) -> float:
    return float(np.where(change == 0, 0.5, np.sign(change) == np.sign(true)).mean())


def shift_scores(
    true: np.ndarray,
    predicted: np.ndarray,
    control: np.ndarray,
    own_control: np.ndarray,
    top: np.ndarray,
    top_not_dropped: np.ndarray,
) -> dict[str, float]:
    """Score one mean profile where truth and prediction each have control cells of their own.

    A control mean on both sides has the same noise on both sides, which looks like agreement (cell-eval2 found 0.74 for
    0.54); with two disjoint sets of controls it cancels. With the same one on both sides these are the values of
    ``perturbation_scores``.

    Parameters
    ----------
    true, predicted
        Mean profiles (g).
    control, own_control
        Mean of the controls that the truth is compared with, and of those the model saw (g).
    top, top_not_dropped
        Columns by ``top_genes``.

    Returns
    -------
    scores
        As ``perturbation_scores``, and ``direction``: share of the top genes whose change has the true sign, no change
        as one half. An undefined correlation is 0, as in GEARS.
    """
    scores = {}
    for suffix, genes in (("", slice(None)), ("_de", top), ("_nd", top_not_dropped)):
        a, b = predicted[genes], true[genes]
        scores[f"mse{suffix}"] = float(np.mean((a - b) ** 2))
        scores[f"pearson{suffix}"] = pearson(a, b)
        scores[f"pearson_delta{suffix}"] = pearson(a - own_control[genes], b - control[genes])
    scores["direction"] = _direction(predicted[top] - own_control[top], true[top] - control[top])
    return {name: 0.0 if np.isnan(value) else value for name, value in scores.items()}
