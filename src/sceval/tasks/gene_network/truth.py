"""What an output is held against: the reference as a matrix, what a gene's level alone tells, and the gene sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sceval.contract import CellFile
from sceval.data.coexpression import expression
from sceval.metrics.network_ranking import Ranking, degree_null, ranking
from sceval.metrics.programs import programs
from sceval.tasks.gene_network.edges import Edges, regulators

EDGES_PER_GENE, MOST_GENES = 5, 2000
"""Edges that stability compares where no reference gives their number: 5 for each of at most 2,000 genes."""


@dataclass(frozen=True)
class Truth:
    """View and solution as scoring needs them.

    Attributes
    ----------
    sources
        Columns of the regulators.
    targets
        Columns of the genes of the reference (sources and targets): the universe is sources x targets.
    matrix
        Whether an edge is, sources x targets; None without a reference.
    sets, set_names
        Membership, sets x genes of the view, and names.
    """

    view: CellFile
    sources: np.ndarray
    targets: np.ndarray
    matrix: np.ndarray | None
    sets: np.ndarray
    set_names: np.ndarray

    @classmethod
    def of(cls, view: CellFile, solution: CellFile) -> Truth:
        """Read it from view and solution."""
        where = {str(name): column for column, name in enumerate(view.var_names)}
        sources, targets, matrix = regulators(view), np.arange(view.n_vars), None
        if "network" in solution.uns:
            edges = solution.uns["network"]
            source, target = (np.array([where[str(g)] for g in edges[name]], int) for name in ("source", "target"))
            targets = np.union1d(source, target)
            matrix = np.zeros((len(sources), len(targets)), bool)
            matrix[np.searchsorted(sources, source), np.searchsorted(targets, target)] = True
        given = solution.uns.get("gene_sets", {"gene": np.empty(0, object), "class": np.empty(0, object)})
        names, codes = np.unique(np.asarray(given["class"], object).astype(str), return_inverse=True)
        sets = np.zeros((len(names), view.n_vars), bool)
        sets[codes, [where[str(gene)] for gene in given["gene"]]] = True
        return cls(view, sources, targets, matrix, sets, names)

    @property
    def n_edges(self) -> int:
        """Edges that stability compares: as many as the reference has, else `EDGES_PER_GENE` for each gene."""
        if self.matrix is not None:
            return int(self.matrix.sum())
        return EDGES_PER_GENE * min(self.view.n_vars, MOST_GENES)

    @property
    def n_program_edges(self) -> int | None:
        """Edges that make programs: as many as the reference has, else None (the strongest partners of each gene)."""
        return None if self.matrix is None else self.n_edges

    @property
    def possible(self) -> np.ndarray:
        """True where an edge may be, sources x targets: all but self-loops."""
        return self.sources[:, None] != self.targets[None, :]

    def ranked(self, edges: Edges) -> Ranking:
        """Sort the possible edges by the scores of an output; absent ones are last."""
        score = np.full((self.view.n_vars, len(self.targets)), -np.inf)
        place = np.full(self.view.n_vars, -1)
        place[self.targets] = np.arange(len(self.targets))
        here = place[edges.target] >= 0
        score[edges.source[here], place[edges.target[here]]] = edges.score[here]
        return ranking(self.matrix, score[self.sources], self.possible)

    @cached_property
    def by_level(self) -> Ranking:
        """The edges ranked by the product of mean expression: it knows of no relation."""
        mean = expression(self.view).mean(axis=0)
        return ranking(self.matrix, np.outer(mean[self.sources], mean[self.targets]), self.possible)

    @cached_property
    def by_degree(self) -> Ranking:
        """The edges ranked by the degrees that the reference itself has."""
        return ranking(self.matrix, degree_null(self.matrix), self.possible)

    @cached_property
    def programs(self) -> list[np.ndarray]:
        """Programs of the reference."""
        row, column = np.nonzero(self.matrix)
        a, b = self.sources[row], self.targets[column]
        return programs(a, b, np.ones(len(a)), self.view.n_vars, self.n_edges)
