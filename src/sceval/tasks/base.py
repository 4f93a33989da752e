"""What a task is: how a dataset becomes view and solution, its oracle, and how an output is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Result
from sceval.metrics.resampling import Plan


@dataclass
class Scored:
    """What scoring found for one run.

    Attributes
    ----------
    values
        Metric -> value, NaN where undefined.
    replicates
        Metric -> value in each replicate of the plan (raw, not yet rescaled).
    units
        Metric -> value of each unit (cell, gene, perturbation ...) in `unit_names`; NaN where one takes no part. A
        metric whose units are others gives a pair (names, values).
    unit_names
        Ids of the units.
    findings
        Sentences.
    layout
        n x 2 picture of the embedding, or None.
    confusion, per_class
        Rows of those tables, without `run_id`.
    """

    values: dict[str, float]
    replicates: dict[str, np.ndarray]
    units: dict[str, np.ndarray | tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    unit_names: np.ndarray = field(default_factory=lambda: np.empty(0, object))
    findings: list[str] = field(default_factory=list)
    layout: np.ndarray | None = None
    confusion: list[dict[str, Any]] = field(default_factory=list)
    per_class: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes
    ----------
    id
        As in the plan.
    prepare
        (data, query or None, dataset, split, split_seed) -> (view, solution).
    oracle
        (view, solution, seed) -> a result that reads the solution, with noise: the positive control.
    plan
        (view, solution) -> the replicates shared by all runs of the group.
    score
        (path of the output, view, solution, plan, backend, picture) -> `Scored`; raises `guard.BadOutput`. The layout
        is made only where a picture is asked for.
    anchors
        (view, solution) -> metric -> anchor name -> list of values (one a repetition): anchors that no run gives.
    probe
        (view, path of an embedding, seed) -> (result, what was chosen, findings), where the task has a shared head;
        raises `guard.BadOutput`.
    """

    id: str
    prepare: Callable[[CellFile, CellFile | None, str, str, int], tuple[CellFile, CellFile]]
    oracle: Callable[[CellFile, CellFile, int], Result]
    plan: Callable[[CellFile, CellFile], Plan]
    score: Callable[[Path, CellFile, CellFile, Plan, str, bool], Scored]
    anchors: Callable[[CellFile, CellFile], dict[str, dict[str, list[float]]]]
    probe: Callable[[CellFile, Path, int], tuple[Result, dict[str, Any], list[str]]] | None = None
