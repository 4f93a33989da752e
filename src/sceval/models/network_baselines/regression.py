"""Regression of each gene on the regulators: how much each of them tells beside the others."""

from __future__ import annotations

import numpy as np


def ridge(Z: np.ndarray, sources: np.ndarray, genes: np.ndarray, penalty: float) -> np.ndarray:
    """Return absolute ridge coefficients, sources x genes; a gene is never regressed on itself (NaN).

    Parameters
    ----------
    Z
        Standardized expression, n x all genes.
    sources, genes
        Columns of the regulators and of the regressed genes.
    penalty
        lambda / n in |y - X b|^2 + lambda |b|^2.

    Notes
    -----
    With P = (X'X + lambda)^-1 the coefficients of a gene outside the regulators are P X'y. A regulator j has those
    without itself, -P_kj / P_jj: the identity of partial regression, which holds with a penalty too.
    """
    X = Z[:, sources]
    P = np.linalg.inv(X.T @ X + penalty * len(Z) * np.eye(len(sources)))
    score = np.abs(P @ (X.T @ Z[:, genes]))
    place = {gene: row for row, gene in enumerate(sources)}
    for column, gene in enumerate(genes):
        row = place.get(gene)
        if row is not None:
            score[:, column] = np.abs(P[:, row] / P[row, row])
            score[row, column] = np.nan
    return score


def forests(Z: np.ndarray, sources: np.ndarray, genes: np.ndarray, trees: int, seed: int) -> np.ndarray:
    """Return importances of extremely randomized trees, sources x genes: a regression for each gene.

    As GENIE3 (Huynh-Thu et al. 2010; its option ET): square root of the number of regulators tried at a node, genes
    of variance 1, importance the drop in variance. A gene is never regressed on itself (NaN).
    """
    from sklearn.ensemble import ExtraTreesRegressor

    score = np.full((len(sources), len(genes)), np.nan)
    for column, gene in enumerate(genes):
        others = sources != gene
        if not others.any() or np.ptp(Z[:, gene]) == 0:
            continue
        # Leaves of five cells: single counts are noise, and the trees stay small enough for two cores.
        model = ExtraTreesRegressor(trees, max_features="sqrt", min_samples_leaf=5, random_state=seed + column)
        score[others, column] = model.fit(Z[:, sources[others]], Z[:, gene]).feature_importances_
    return score
