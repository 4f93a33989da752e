"""What every run of a group is scored against: held-out counts, which genes can be told at all, what needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.metrics.imputation import mean_by_total, posterior_rates, spearman_brown, split_half
from sceval.metrics.imputation_clusters import average_bio
from sceval.tasks.imputation.prepare import DEPTH

LEAST_SPLIT_HALF = 0.1
"""Genes whose two halves of the counts correlate less are left out of correlations (noise alone), and counted."""

REPEATS = 5
"""Times that counts are halved."""


@dataclass
class Truth:
    """Held-out counts of one view.

    Attributes
    ----------
    view, solution
        As prepared.
    """

    view: CellFile
    solution: CellFile

    @property
    def split(self) -> str:
        """Id of the split."""
        return str(self.view.uns["sceval"]["split"])

    @cached_property
    def rows(self) -> np.ndarray:
        """Positions in the view of the cells (or spots) that are asked for, m."""
        if self.split != "spatial":
            return np.arange(self.view.n_obs)
        return np.flatnonzero(self.view.obs["modality"].astype(str) == "spatial")

    @cached_property
    def columns(self) -> np.ndarray:
        """Positions of the genes that are asked for."""
        if self.split != "spatial":
            return np.arange(self.view.n_vars)
        return np.flatnonzero(self.view.var["part"].astype(str) == "test")

    @cached_property
    def counts(self) -> sparse.csr_matrix:
        """Held-out counts of the rows and columns that are asked for, m x k CSR."""
        return sparse.csr_matrix(self.solution.X[self.rows][:, self.columns], dtype=np.float64)

    @cached_property
    def y(self) -> np.ndarray:
        """The same, dense float32."""
        return self.counts.toarray().astype(np.float32)

    @cached_property
    def inside(self) -> np.ndarray | None:
        """Entries that were hidden (m x k, boolean), None where all were."""
        return self.view.layers["hidden"].toarray() > 0 if self.split == "masked" else None

    @cached_property
    def whole(self) -> sparse.csr_matrix:
        """Counts as measured: the view's and the held-out ones, of the rows and columns that are asked for."""
        seen = sparse.csr_matrix(self.view.X[self.rows][:, self.columns], dtype=np.float64)
        return (seen + self.counts).tocsr()

    def reliability(self, whole: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """Correlation of halves, and the same at the depth of the held-out counts (repeats x columns).

        Under thinning a half is as deep as they are; elsewhere they have the whole depth.
        """
        halves = split_half(whole, REPEATS)
        return halves, np.maximum(halves, 0.0) if self.split == "thinning" else spearman_brown(halves)

    @cached_property
    def gene_reliability(self) -> tuple[np.ndarray, np.ndarray]:
        """For each gene; see `reliability`."""
        return self.reliability(self.whole)

    @cached_property
    def told(self) -> np.ndarray:
        """Genes that correlations are taken of (k, boolean)."""
        halves = self.gene_reliability[0]
        mean = np.where(np.isfinite(halves).all(axis=0), np.nan_to_num(halves).mean(axis=0), 0.0)
        return mean >= LEAST_SPLIT_HALF

    @cached_property
    def floor(self) -> np.ndarray:
        """Gene mean x cell total at the depth of the view, m x k; for spots the total of the genes that they show."""
        if self.split != "spatial":
            return mean_by_total(self.view.X)
        total = np.asarray(self.view.X[self.rows].sum(axis=1), np.float64).ravel()
        return np.outer(total, self.y.mean(axis=0) / max(total.mean(), 1e-12)).astype(np.float32)

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """Rates drawn given the held-out counts, m x k, at the depth of the view: as good as the true ones."""
        if self.split == "spatial":
            return posterior_rates(self.y, self.floor, rng)
        counts = self.counts if self.split == "thinning" else self.whole
        return posterior_rates(counts.toarray(), mean_by_total(counts), rng) / DEPTH[self.split]

    @cached_property
    def labels(self) -> np.ndarray:
        """Type of each cell that is asked for, None where there is none."""
        labels = self.solution.obs.get("cell_type")
        return np.full(len(self.rows), None, object) if labels is None else labels[self.rows]

    @cached_property
    def bio(self) -> tuple[float, float]:
        """Average bio of what the view shows, and of all counts, as nothing were hidden."""
        seen = self.view.X[self.rows]
        return tuple(average_bio(X.toarray(), self.labels) for X in (seen, seen + self.solution.X[self.rows]))

    @property
    def findings(self) -> list[str]:
        """How many genes the correlations are of, and what clustering gives without imputation."""
        left = int((~self.told).sum())
        genes = (
            f"{left} of {len(self.told)} genes are left out of correlations per gene: the two halves of their counts "
            f"correlate less than {LEAST_SPLIT_HALF}"
        )
        seen, whole = self.bio
        if not np.isfinite(seen):
            return [genes, "fewer than two cell types: average bio is undefined"]
        return [genes, f"average bio of the view as it is: {seen:.3f}; with nothing hidden: {whole:.3f}"]


_LAST: list[Truth] = []


def truth_of(view: CellFile, solution: CellFile) -> Truth:
    """Return the truth of a group; the last one is kept, because all runs of a group are scored one after another."""
    if not _LAST or _LAST[0].view is not view or _LAST[0].solution is not solution:
        _LAST[:] = [Truth(view, solution)]
    return _LAST[0]
