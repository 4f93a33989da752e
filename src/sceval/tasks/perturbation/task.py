"""Oracle, replicates, anchors and scores of perturbation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Perturbed
from sceval.data.perturbations import mean_shift, shifted_controls, targets_of
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.perturbation.prepare import ID, prepare
from sceval.tasks.perturbation.probe import probe
from sceval.tasks.perturbation.truth import Truth, evaluate, truth_of

ORACLE_NOISE = 0.1
"""Standard deviation of what the oracle adds to each value of log1p CP10k."""

REPETITIONS = 5
"""Times that the held-out cells are dealt to halves for the anchors."""

FLOOR_CELLS = 128
"""Most control cells that the floor moves, in each context."""

_LATEST: list[tuple[CellFile, CellFile, Truth]] = []


def _truth(view: CellFile, solution: CellFile) -> Truth:
    """Return the truth of a group, made once for all its outputs."""
    if not _LATEST or _LATEST[0][0] is not view or _LATEST[0][1] is not solution:
        _LATEST[:] = [(view, solution, truth_of(view, solution))]
    return _LATEST[0][2]


def oracle(view: CellFile, solution: CellFile, seed: int) -> Perturbed:
    """Give the cells of each perturbation that are not the truth (the other half), with noise."""
    truth = _truth(view, solution)
    rng = np.random.default_rng(seed)
    rows = np.concatenate(truth.replicate)
    which = np.repeat(np.arange(len(truth.units)), [len(r) for r in truth.replicate])
    X = truth.held.logs[rows].toarray()
    X = X + rng.normal(0.0, ORACLE_NOISE, X.shape)  # not cut at 0: most values are 0, and their mean would rise
    names = np.array(truth.units, object)[which]
    return Perturbed(names[:, 0], X, names[:, 1] if "context" in view.obs else None)


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out perturbations, in all their contexts; units where there are fewer than five perturbations."""
    del solution
    units = targets_of(view)
    names = np.array([name for name, _ in units])
    if len(set(names)) >= 5:
        return replicates(len(units), groups=names, unit="perturbation")
    return replicates(len(units), groups=np.arange(len(units)), unit="perturbation")


def _summary(units: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        metric: float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        for metric, values in units.items()
    }


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score predicted expression of the targets."""
    del backend, picture
    truth = _truth(view, solution)
    X, rows, findings = guard.perturbed(path, view, truth.units)
    profiles = np.array([X[r].mean(axis=0, dtype=np.float64) for r in rows])
    cells = None
    if min(map(len, rows)) > 1:
        coordinates = truth.space.transform(np.asarray(X, np.float64))
        cells = [coordinates[r] for r in rows]
    else:
        findings.append("one mean for each perturbation: the energy distance needs cells and is not applicable")
    units, of_all = evaluate(truth, profiles, cells, plan.masks)
    if not np.isfinite(units["pds"]).any():
        findings.append("one perturbation in each context: there is nothing to be told from (pds, centroid_accuracy)")
    constant = int((np.ptp(profiles - profiles.mean(axis=1, keepdims=True), axis=1) == 0).sum())
    if constant:
        findings.append(f"{constant} predicted profiles are constant over genes; their correlations count as 0")
    tables = {}
    for metric, values in units.items():
        tables[metric] = of_all.get(metric)
        if tables[metric] is None:
            tables[metric] = np.array([_summary({metric: values[mask]})[metric] for mask in plan.masks])
    return Scored(_summary(units), tables, units, truth.names, findings)


def _floor(truth: Truth) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the training perturbed mean as a shift of the visible controls: profiles, and the shifted controls."""
    units, shifts = truth.screen.shifts()
    profiles, cells, made = [], [], {}
    for _, context in truth.units:
        if context not in made:
            shift = mean_shift(units, shifts, context)
            moved = truth.space.transform(shifted_controls(truth.screen, context, shift, FLOOR_CELLS, 0))
            made[context] = truth.controls[context][2] + shift, moved
        profiles.append(made[context][0])
        cells.append(made[context][1])
    return np.array(profiles), cells


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Measure floor and ceiling on the held-out cells, dealt to halves `REPETITIONS` times.

    The floor is the training perturbed mean as a shift of the visible controls. The ceiling is one half of the cells of
    each perturbation, with the visible controls, against the other half, with the held-out controls. Both are measured
    against a truth of as many cells as outputs are.
    """
    truth = _truth(view, solution)
    profiles, cells = _floor(truth)
    none = np.ones((0, len(truth.units)), bool)
    out: dict[str, dict[str, list[float]]] = {}
    for repetition in range(REPETITIONS):
        now = truth.with_halves(np.random.default_rng(repetition))
        halves = now.held.means(now.replicate)
        half_cells = [now.space.transform(now.held.logs[rows]) for rows in now.replicate]
        for anchor, given in (("floor", (profiles, cells)), ("ceiling", (halves, half_cells))):
            for metric, value in _summary(evaluate(now, *given, none)[0]).items():
                out.setdefault(metric, {}).setdefault(anchor, []).append(value)
    return out


TASK = Task(ID, prepare, oracle, plan, score, anchors, probe)
