"""Oracle, replicates, anchors and scores of simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.contract.results import Simulated
from sceval.data.global_poisson import global_poisson
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.simulation.prepare import ID, prepare
from sceval.tasks.simulation.truth import LEAST_OF_TYPE, Comparison, Truth, truth_of

ORACLE_ERRORS = 0.02
"""Share of the oracle's cells that are cells of the floor."""

REPETITIONS = 5
"""Draws of the floor, and times that test and replicate cells are dealt for the ceiling."""

MEMORIZED = 0.05
"""Share of copies from which an output is called memorized."""

_LATEST: list[tuple[CellFile, CellFile, Truth]] = []


def _truth(view: CellFile, solution: CellFile) -> Truth:
    """Return the truth of a group, made once for all its outputs."""
    if not _LATEST or _LATEST[0][0] is not view or _LATEST[0][1] is not solution:
        _LATEST[:] = [(view, solution, truth_of(view, solution))]
    return _LATEST[0][2]


def oracle(view: CellFile, solution: CellFile, seed: int) -> Simulated:
    """Give held-out real cells of the asked types: those of the replicate part first, and a few of the floor.

    Where the replicate part has too few cells of a type, test cells fill up.
    """
    rng = np.random.default_rng(seed)
    asked = view.uns["simulation"]
    kinds, sizes = np.atleast_1d(asked["cell_type"]).astype(str), np.atleast_1d(asked["n"]).astype(int)
    types, part = solution.obs["cell_type"].astype(str), solution.obs["part"]
    rows = []
    taken = np.zeros(solution.n_obs, bool)
    for kind, size in zip(kinds, sizes, strict=True):
        able = rng.permutation(np.flatnonzero((types == kind) & ~taken))
        chosen = able[np.argsort(part[able] == "test", kind="stable")][:size]
        taken[chosen] = True
        rows.append(chosen)
    X = solution.X[np.concatenate(rows)].tolil()
    wrong = np.flatnonzero(rng.random(X.shape[0]) < ORACLE_ERRORS)
    if len(wrong):
        X[wrong] = global_poisson(view.X, len(wrong), rng)
    batch = np.repeat(np.atleast_1d(asked["batch"]), sizes) if "batch" in asked else None
    return Simulated(sparse.csr_matrix(X), np.repeat(kinds, sizes).astype(object), batch)


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out fifths of the test cells."""
    del view
    return replicates(int((solution.obs["part"] == "test").sum()))


def _said(truth: Truth, found: Comparison) -> list[str]:
    findings = []
    copies, n = int(found.copies.sum()), len(found.copies)
    if copies > MEMORIZED * n:
        findings.append(
            f"memorized: {copies} of {n} generated cells ({copies / n:.0%}) copy a training cell: their distance to "
            f"the nearest one is at most {found.limit:.2f} of that to the second nearest, unlike held-out cells; in "
            "the headline metrics each of them counts as a cell of the floor"
        )
    names, counts = np.unique(truth.test.types, return_counts=True)
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < LEAST_OF_TYPE]
    if few:
        findings.append(f"types with fewer than {LEAST_OF_TYPE} test cells, not compared inside: {', '.join(few)}")
    if not truth.rare.any():
        findings.append("no type makes up less than 5 % of the test cells: rare-type recall is undefined")
    empty = int((found.made.totals == 0).sum())
    if empty:
        findings.append(f"{empty} generated cells have no count")
    # Of the integration set a few metrics are taken; what is said of the others would only confuse.
    return findings + [finding for finding in found.scorer.findings if finding.startswith("clusters")]


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score generated cells."""
    del backend, picture
    truth = _truth(view, solution)
    X, types, findings = guard.simulated(path, view)
    found = Comparison(truth, truth.cells(X, types))
    values = found.values()
    tables: dict[str, list[float]] = {name: [] for name in values}
    for mask in plan.masks:
        for name, value in found.values(mask).items():
            tables[name].append(value)
    arrays = {name: np.array(column) for name, column in tables.items()}
    return Scored(values, arrays, found.units, truth.names, findings + _said(truth, found))


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Measure floor (global Poisson of mean x total) and ceiling (a third real part against the test part).

    The first ceiling is the replicate part as it was dealt; in the others test and replicate cells are dealt anew.
    """
    truth = _truth(view, solution)
    out: dict[str, dict[str, list[float]]] = {}
    for repetition in range(REPETITIONS):
        again, real = truth.dealt(repetition) if repetition else (truth, truth.replicate)
        floor = truth.floor(truth.test.types, seed=repetition + 1)
        for anchor, comparison in (("floor", Comparison(truth, floor)), ("ceiling", Comparison(again, real))):
            for metric, value in comparison.values().items():
                out.setdefault(metric, {}).setdefault(anchor, []).append(value)
    return out


TASK = Task(ID, prepare, oracle, plan, score, anchors)
