"""Oracle, replicates, scores and anchors of multi-omic integration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Embedding
from sceval.metrics.integration import IntegrationScorer
from sceval.metrics.layout import umap_layout
from sceval.metrics.resampling import Plan, replicate_table, replicates
from sceval.tasks import batch_integration, guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.multiomic_integration.anchors import transfer_anchors
from sceval.tasks.multiomic_integration.extra import Extras
from sceval.tasks.multiomic_integration.prepare import ID, prepare

PAIR_DIMENSIONS, PAIR_SPREAD, PAIR_NOISE = 8, 0.15, 0.05
"""Of the oracle: how a cell differs from others of its type in both modalities, and how the modalities differ."""

FACTOR_STEP = 0.4
"""Distance, in the oracle, between the two states of the planted factor."""


def _asked(solution: CellFile) -> np.ndarray:
    """Return the rows that scores are made on: all, or those whose labels were hidden."""
    if "part" not in solution.obs:
        return np.arange(solution.n_obs)
    return np.flatnonzero(solution.obs["part"] == "test")


def _restricted(cells: CellFile, rows: np.ndarray) -> CellFile:
    """Return some rows of a view or a solution."""
    return CellFile(
        cells.obs_names[rows],
        cells.var_names,
        X=None if cells.X is None else cells.X[rows],
        obs={name: values[rows] for name, values in cells.obs.items()},
        var=cells.var,
        obsm={name: values[rows] for name, values in cells.obsm.items()},
        uns=cells.uns,
    )


def oracle(view: CellFile, solution: CellFile, seed: int) -> Embedding:
    """Put each cell at its label, blind to modality, and both rows of a cell near each other, with noise.

    Cells without a label stand at the origin.
    """
    X = batch_integration.TASK.oracle(view, solution, seed).X
    rng = np.random.default_rng(seed)
    cell = solution.obs.get("pair", np.full(solution.n_obs, None, object))
    cell = np.where(np.array([name is None for name in cell], bool), solution.obs_names, cell).astype(str)
    codes = np.unique(cell, return_inverse=True)[1]
    own = rng.normal(0, PAIR_SPREAD, (codes.max() + 1, PAIR_DIMENSIONS))[codes]
    parts = [X, own + rng.normal(0, PAIR_NOISE, own.shape)]
    if "factor" in solution.obs:
        on = (solution.obs["factor"] == "on").astype(float)[:, None]
        parts.append(FACTOR_STEP * on + rng.normal(0, PAIR_NOISE, on.shape))
    return Embedding(np.hstack(parts))


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out fifths of the cells, both rows of a cell together; batches of paired cells where there are five."""
    del view
    rows = _asked(solution)
    if "pair" in solution.obs:
        pair, ids = solution.obs["pair"][rows], solution.obs_names[rows]
        cell = np.array([name if own is None else own for name, own in zip(ids, pair, strict=True)], object)
        return replicates(len(rows), groups=cell.astype(str), unit="cell")
    paired = (solution.obs["modality"][rows] == "paired").all()
    return replicates(len(rows), groups=solution.obs["batch"][rows].astype(str) if paired else None)


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score a cell embedding: integration with the modality as batch, and what `extra` adds."""
    X, findings = guard.embedding(path, view)
    rows = _asked(solution)
    X, asked = X[rows], _restricted(solution, rows)
    batch, label, pre = asked.obs["batch"], asked.obs["cell_type"], asked.obsm["X_pre"]
    extras = Extras(X, asked)
    if backend == "scib":
        from sceval.metrics.backend_scib import scib_values

        result = scib_values(X, batch, label, pre)
        left_out = [f"{name}: not by scib ({why})" for name, why in result.left_out.items()]
        return Scored(result.values | extras.values(), {}, findings=findings + result.findings + left_out)
    scorer = IntegrationScorer(X, batch, label, pre=pre)
    values = scorer.values() | extras.values()
    table = replicate_table(scorer, plan)
    kept = [extras.values(mask) for mask in plan.masks]
    table |= {name: np.array([row[name] for row in kept]) for name in extras.values()} if kept else {}
    picture = picture and len(rows) == view.n_obs
    return Scored(
        values=values,
        replicates=table,
        units=scorer.units() | extras.units,
        unit_names=asked.obs_names,
        findings=findings + scorer.findings + extras.findings,
        layout=umap_layout(*scorer.all.nearest(np.ones(len(rows), bool), min(15, len(rows)))) if picture else None,
    )


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return the anchors of batch integration with the modality as batch, and those of pairs and label transfer."""
    rows = _asked(solution)
    asked = _restricted(solution, rows)
    found = batch_integration.TASK.anchors(view, asked)
    return found | transfer_anchors(_restricted(view, rows), asked)


TASK = Task(ID, prepare, oracle, plan, score, anchors)
