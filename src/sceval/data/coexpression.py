"""Expression as networks read it: log-normalized, standardized, correlated."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile
from sceval.data.preprocess import log_cp10k


def expression(view: CellFile, genes: np.ndarray | None = None) -> np.ndarray:
    """Return log CP10k of the genes of a view (all where None), dense, n x g, float64; `lognorm` values as they are."""
    X = view.X if view.uns["sceval"]["matrix"] == "lognorm" else log_cp10k(view.X)
    return np.asarray((X if genes is None else X[:, genes]).todense(), dtype=np.float64)


def standardize(X: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and variance 1; a constant one is 0."""
    centered = X - X.mean(axis=0)
    spread = np.sqrt((centered**2).mean(axis=0))
    return np.divide(centered, spread, out=np.zeros_like(centered), where=spread > 1e-12)


def absolute_correlation(Z: np.ndarray, sources: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return |Pearson| of columns of standardized values, sources x genes."""
    return np.abs(Z[:, sources].T @ Z[:, genes]) / len(Z)
