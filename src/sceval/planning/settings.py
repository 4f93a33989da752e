"""What PLAN is asked for, and what it gives: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Plan:
    """What the pipeline does.

    Attributes
    ----------
    rows
        Rows of `plan.csv`.
    runs
        What RUN gets, for the rows that are executed.
    views
        What PREPARE gets.
    groups
        What SCORE gets.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """Everything that the plan depends on besides the sheets.

    Attributes
    ----------
    tasks, splits, regimes
        Restrictions; all where empty.
    seeds, control_seeds, split_seeds
        How many seeds a trained model, a control and a split get.
    task_image, task_program
        Image and local program of the task.
    prepare_code, task_code, score_code
        Fingerprints of the code that cuts views, that runs probes and oracles, and that scores: a change of a metric
        scores again and runs no model.
    device, time_s, memory_mb, cpus
        What a run gets.
    metrics_backend, score_batch
        How scores are made; `score_batch` outputs at a time, 0 for all of a group.
    """

    tasks: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    regimes: tuple[str, ...] = ()
    seeds: int = 3
    control_seeds: int = 5
    split_seeds: int = 1
    task_images: dict[str, str] = field(default_factory=dict)
    task_program: str = "sceval-task"
    prepare_code: str = ""
    task_code: str = ""
    score_code: str = ""
    device: str = "auto"
    time_s: int = 3600
    memory_mb: int = 2000
    cpus: int = 1
    metrics_backend: str = "sceval"
    score_batch: int = 0
