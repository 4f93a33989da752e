"""SCORE: all outputs of a dataset, task and split in one process; a bad one never costs the others their scores."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile
from sceval.metrics.resampling import Plan
from sceval.tasks.base import Scored, Task
from sceval.tasks.guard import BadOutput


class Tables:
    """Rows of the tables that SCORE writes, as columns of lists."""

    def __init__(self) -> None:
        self.columns: dict[str, dict[str, list[Any]]] = {}

    def add(self, table: str, **columns: Any) -> None:
        """Append one row, or many where values are lists or arrays (of one length; the rest is repeated)."""
        lengths = {len(value) for value in columns.values() if isinstance(value, (list, np.ndarray))}
        length = lengths.pop() if lengths else 1
        into = self.columns.setdefault(table, {name: [] for name in columns})
        for name, value in columns.items():
            into[name].extend(value if isinstance(value, (list, np.ndarray)) else [value] * length)

    def write(self, folder: Path) -> None:
        """Write each table as Parquet."""
        import pyarrow as pa
        from pyarrow import parquet

        for name, columns in self.columns.items():
            parquet.write_table(pa.table(columns), folder / f"{name}.parquet")


def _add(tables: Tables, run_id: str, scored: Scored, plan: Plan, solution: CellFile) -> None:
    for metric, value in scored.values.items():
        tables.add(
            "values", run_id=run_id, metric=metric, value=float(value), unit=plan.unit, n_units=plan.n_units, df=plan.df
        )
    for metric, values in scored.replicates.items():
        values = np.asarray(values, float)
        if np.isfinite(values).sum() < max(2, len(values) / 2):
            continue  # no standard error from so few: see `resampling.standard_error`
        rescaled = scored.values[metric] + plan.scale * (values - np.nanmean(values))
        tables.add("replicates", run_id=run_id, metric=metric, replicate=list(range(len(values))), value=rescaled)
    for metric, given in scored.units.items():
        names, values = given if isinstance(given, tuple) else (scored.unit_names, given)
        keep = np.isfinite(values)
        tables.add(
            "units",
            run_id=run_id,
            metric=metric,
            unit=list(np.asarray(names, object)[keep]),
            value=np.asarray(values, float)[keep],
        )
    for row in scored.confusion:
        tables.add("confusion", run_id=run_id, **row)
    for row in scored.per_class:
        tables.add("per_class", run_id=run_id, **row)
    if scored.layout is not None:
        tables.add(
            "layout",
            run_id=run_id,
            cell=list(solution.obs_names),
            x=scored.layout[:, 0].astype(float),
            y=scored.layout[:, 1].astype(float),
            batch=list(solution.obs["batch"]),
            cell_type=list(solution.obs["cell_type"]),
        )


def _add_anchors(tables: Tables, task: Task, view: CellFile, solution: CellFile) -> None:
    uns = view.uns["sceval"]
    where = {"dataset": uns["dataset"], "task": uns["task"]}
    try:
        measured = task.anchors(view, solution)
    except Exception as error:  # noqa: BLE001 - without anchors nothing is scaled, but the values stand
        traceback.print_exc()
        finding = f"the anchors could not be measured, so nothing is scaled ({type(error).__name__}: {error})"
        tables.add("findings", run_id="", **where, level="error", finding=finding)
        return
    for metric, named in measured.items():
        for anchor, values in named.items():
            more = {"split": uns["split"], "metric": metric, "anchor": anchor}
            numbers = [float(value) for value in values]
            tables.add("anchors", **where, **more, repetition=list(range(len(numbers))), value=numbers)


def score_group(
    task: Task,
    view: CellFile,
    solution: CellFile,
    runs: list[dict[str, str]],
    outputs: Path,
    backend: str,
    out: Path,
    progress: Callable[[str], None] = lambda _line: None,
) -> dict[str, dict[str, Any]]:
    """Score every output and write the tables.

    Parameters
    ----------
    task
        The task.
    view, solution
        Of the group.
    runs
        Each with `run_id` and `output_of`, the run whose folder below `outputs` holds the output, and `picture`,
        whether its embedding is laid out for the report (once for each variant).
    outputs
        Folder of the run folders; a run without one (it failed) is passed over.
    backend
        `sceval` or `scib`.
    out
        Folder to write to.

    Returns
    -------
    For each run `{"ok": bool, "reason": text}`.
    """
    tables, verdicts = Tables(), {}
    plan = task.plan(view, solution)
    uns = view.uns["sceval"]
    where = {"dataset": uns["dataset"], "task": uns["task"]}
    for number, run in enumerate(runs, 1):
        run_id = run["run_id"]
        found = sorted((outputs / run["output_of"]).glob("output.*"))
        if not found:
            continue
        path = found[0]
        progress(f"{number}/{len(runs)} {run_id}")
        try:
            scored = task.score(path, view, solution, plan, backend, run.get("picture", True))
        except BadOutput as error:
            verdicts[run_id] = {"ok": False, "reason": f"bad_output: {error}"}
            tables.add("findings", run_id=run_id, **where, level="error", finding=str(error))
            continue
        except Exception as error:  # noqa: BLE001 - a fault in scoring one output must not cost the others their scores
            traceback.print_exc()
            verdicts[run_id] = {"ok": False, "reason": f"error: scoring failed ({type(error).__name__}: {error})"}
            continue
        verdicts[run_id] = {"ok": True, "reason": ""}
        _add(tables, run_id, scored, plan, solution)
        for finding in scored.findings:
            tables.add("findings", run_id=run_id, **where, level="info", finding=finding)
    _add_anchors(tables, task, view, solution)
    out.mkdir(parents=True, exist_ok=True)
    tables.write(out)
    (out / "verdicts.json").write_text(json.dumps(verdicts, indent=1) + "\n")
    return verdicts
