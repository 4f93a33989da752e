"""scGraph: whether the distances between cell types are those that each batch shows by itself."""

from __future__ import annotations

import numpy as np

LEAST_CELLS, LEAST_OF_TYPE, TRIM = 100, 10, 0.05
"""Cells of a batch, and of a type in it, that take part; share cut off at each end of every coordinate."""

_PERMUTATIONS = 50
_NAN = float("nan")


def trimmed_centroids(X: np.ndarray, labels: np.ndarray, names: np.ndarray, least: int) -> np.ndarray:
    """Mean of each label's cells (labels x dimensions) without `TRIM` at each end; NaN under `least` cells."""
    out = np.full((len(names), X.shape[1]), np.nan)
    for row, name in enumerate(names):
        cells = X[labels == name]
        if len(cells) < least:
            continue
        cut = int(TRIM * len(cells))
        out[row] = np.sort(cells, axis=0)[cut : len(cells) - cut].mean(axis=0)
    return out


def _distances(centroids: np.ndarray) -> np.ndarray:
    d = np.sqrt(((centroids[:, None, :] - centroids[None, :, :]) ** 2).sum(axis=2))
    top = np.nanmax(np.where(np.isnan(d), -1.0, d), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(top > 0, d / top, np.nan)


def _weighted_pearson(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    w = w / w.sum()
    x, y = x - w @ x, y - w @ y
    spread = np.sqrt((w @ x**2) * (w @ y**2))
    return float((w @ (x * y)) / spread) if spread > 1e-12 else 0.0


class Consensus:
    """Distances between types, averaged over batches.

    Parameters
    ----------
    own
        Principal components of each batch by itself, cells x components.
    batches, labels
        Codes; a label below 0 is none.

    Each batch of 100 cells gives the distances of the trimmed centroids of its types of 10 cells, each column divided
    by its largest; the consensus is their mean. Source: Wang, Leskovec and Regev 2025 (10.1038/s41587-025-02702-z),
    "Corr-Weighted".
    """

    def __init__(self, own: np.ndarray, batches: np.ndarray, labels: np.ndarray) -> None:
        self.names = np.unique(labels[labels >= 0])
        self.findings: list[str] = []
        found = []
        for batch in np.unique(batches):
            rows = batches == batch
            if rows.sum() >= LEAST_CELLS:
                found.append(_distances(trimmed_centroids(own[rows], labels[rows], self.names, LEAST_OF_TYPE)))
        stack = np.array(found) if found else np.full((1, len(self.names), len(self.names)), np.nan)
        counts = np.isfinite(stack).sum(axis=0)
        total = np.nansum(stack, axis=0)
        self.distances = np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
        self.usable = [row for row in range(len(self.names)) if self._others(row).sum() >= 3]
        if not self.usable:
            self.findings.append(
                f"scGraph undefined: {len(found)} batches of {LEAST_CELLS} cells, and no type of {LEAST_OF_TYPE} cells "
                "that has three others in one of them"
            )

    def _others(self, row: int) -> np.ndarray:
        found = np.isfinite(self.distances[:, row]) & (self.distances[:, row] > 0)
        found[row] = False
        return found

    def value(self, X: np.ndarray, labels: np.ndarray) -> float:
        """Return scGraph of an embedding, -1 to 1; NaN where it is undefined.

        For each type the Pearson correlation of its distances to the others with the consensus, with weights 1 /
        consensus distance; mean over types.
        """
        return self._correlation(_distances(trimmed_centroids(X, labels, self.names, 1))) if self.usable else _NAN

    def chance(self, X: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
        """Return the mean over 50 permutations of the types' places in the embedding: what their names alone give."""
        if not self.usable:
            return _NAN
        centroids = trimmed_centroids(X, labels, self.names, 1)
        present = np.flatnonzero(np.isfinite(centroids).all(axis=1))
        rng = np.random.default_rng(seed)
        found = []
        for _ in range(_PERMUTATIONS):
            turned = centroids.copy()
            turned[present] = centroids[rng.permutation(present)]
            found.append(self._correlation(_distances(turned)))
        return float(np.mean(found))

    def _correlation(self, mine: np.ndarray) -> float:
        found = []
        for row in self.usable:
            use = self._others(row) & np.isfinite(mine[:, row])
            if use.sum() >= 3:
                theirs = self.distances[use, row]
                found.append(_weighted_pearson(mine[use, row], theirs, 1 / theirs))
        return float(np.mean(found)) if found else _NAN
