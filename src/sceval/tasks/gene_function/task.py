"""Oracle, replicates and scores of gene function."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import GeneClasses
from sceval.metrics.gene_function import gene_function_values
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.gene_function.prepare import ID, prepare
from sceval.tasks.gene_function.probe import probe

ORACLE_ERRORS = 0.02
"""Share of the genes that the oracle gets wrong."""


def _asked(solution: CellFile) -> np.ndarray:
    return np.flatnonzero(solution.var["part"] == "test")


def oracle(view: CellFile, solution: CellFile, seed: int) -> GeneClasses:
    """Give the true class to all test genes but `ORACLE_ERRORS` of them, whose class is drawn at random."""
    del view
    rows = _asked(solution)
    truth = solution.var["gene_class"][rows].astype(str)
    classes = np.unique(truth)
    rng = np.random.default_rng(seed)
    codes = np.searchsorted(classes, truth)
    wrong = rng.random(len(rows)) < ORACLE_ERRORS
    codes[wrong] = rng.integers(0, len(classes), int(wrong.sum()))
    probability = np.full((len(rows), len(classes)), ORACLE_ERRORS / len(classes))
    probability[np.arange(len(rows)), codes] += 1 - ORACLE_ERRORS
    return GeneClasses(solution.var_names[rows], classes.astype(object), probability)


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out fifths of the test genes; whole families where the split keeps them together."""
    del view
    rows = _asked(solution)
    whole = solution.uns["sceval"]["split"] == "families"
    groups = solution.var["family"][rows].astype(str) if whole else np.arange(len(rows))
    return replicates(len(rows), groups=groups, unit="gene family" if whole else "gene")


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score predicted classes of the test genes."""
    del backend, picture
    rows = _asked(solution)
    names = solution.var_names[rows]
    classes, probability, findings = guard.gene_classes(path, view, names)
    truth = solution.var["gene_class"][rows].astype(str)
    values, units = gene_function_values(truth, classes, probability)
    tables: dict[str, list[float]] = {name: [] for name in values}
    for mask in plan.masks:
        for name, value in gene_function_values(truth[mask], classes, probability[mask])[0].items():
            tables[name].append(value)
    return Scored(values, {name: np.array(v) for name, v in tables.items()}, units, names, findings)


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return nothing: the anchors of this task are runs (controls) and constants."""
    del view, solution
    return {}


TASK = Task(ID, prepare, oracle, plan, score, anchors, probe)
