"""Anchors that no run gives: random sets of the same sizes, absolute correlation of two halves, the best EPR."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile
from sceval.data.coexpression import absolute_correlation, expression, standardize
from sceval.metrics.network_ranking import random_jaccard
from sceval.metrics.programs import program_jaccard, programs, strongest, undirected
from sceval.tasks.gene_network.truth import MOST_GENES, Truth
from sceval.tasks.gene_network.values import Found, stability

REPETITIONS = 5

WITH_REGULATORS = 5
"""How many times more genes are correlated where few of them may be a source (as the baseline does)."""


def _genes(truth: Truth) -> np.ndarray:
    """Return the genes that are correlated: of too many those that most cells express, and the regulators."""
    view = truth.view
    few = len(truth.sources) < view.n_vars
    most = MOST_GENES * (WITH_REGULATORS if few else 1)
    if view.n_vars <= most:
        return np.arange(view.n_vars)
    cells = np.asarray(view.X.getnnz(axis=0)).ravel()
    named = np.isin(np.arange(view.n_vars), truth.sources) & few
    return np.sort(np.lexsort((-cells, ~named))[:most])


def correlated(X: np.ndarray, rows: np.ndarray, genes: np.ndarray, truth: Truth) -> Found:
    """Return the strongest edges and the programs of absolute correlation in some cells."""
    n = truth.view.n_vars
    sources = np.flatnonzero(np.isin(genes, truth.sources))
    score = absolute_correlation(standardize(X[rows]), sources, np.arange(len(genes)))
    row, column = np.nonzero(sources[:, None] != np.arange(len(genes))[None, :])
    a, b, score = undirected(genes[sources[row]], genes[column], score[row, column], n)
    top = strongest(score, truth.n_edges)
    return Found({}, codes=a[top] * n + b[top], programs=programs(a, b, score, n, truth.n_program_edges))


def _shuffled(found: list[np.ndarray], n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return random programs of the same sizes."""
    order = rng.permutation(n)
    return [np.sort(order[genes]) for genes in found]


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Measure them.

    `network_epr`, ceiling: what the reference itself has, one over the density. Program Jaccard and stability: floor,
    random sets of the same sizes; ceiling, absolute correlation in one half of the cells against the other.
    """
    truth = Truth.of(view, solution)
    rng = np.random.default_rng(0)
    out: dict[str, dict[str, list[float]]] = {}
    if truth.matrix is not None:
        out["network_epr"] = {"ceiling": [truth.possible.sum() / truth.n_edges]}
    split = solution.uns["sceval"]["split"]
    if split == "by_type" or (split == "all" and truth.matrix is None):
        return out  # no metric needs the halves
    genes = _genes(truth)
    X = expression(view, genes)
    pairs, first = [], None
    for _ in range(REPETITIONS):
        order = rng.permutation(view.n_obs)
        half = view.n_obs // 2
        two = [correlated(X, rows, genes, truth) for rows in (order[:half], order[half:])]
        pairs.append(stability(*two))
        first = first or two[0].programs
    possible = len(truth.sources) * (view.n_vars - 1)
    ceiling = {name: [pair[name] for pair in pairs] for name in pairs[0]}
    if split == "halves":
        edges = [random_jaccard(possible, truth.n_edges, rng) for _ in range(REPETITIONS)]
        sets = [program_jaccard(first, _shuffled(first, view.n_vars, rng)) for _ in range(REPETITIONS)]
        out["edge_stability"] = {"floor": edges, "ceiling": ceiling["edge_stability"]}
        out["program_stability"] = {"floor": sets, "ceiling": ceiling["program_stability"]}
    if truth.matrix is not None:
        mine = truth.programs
        sets = [program_jaccard(_shuffled(mine, view.n_vars, rng), mine) for _ in range(REPETITIONS)]
        out["program_jaccard"] = {"floor": sets, "ceiling": ceiling["program_stability"]}
    return out
