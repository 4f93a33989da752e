"""The page of each task: what it asks, what its splits hold out, its boards, and what its controls scored."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sceval.contract.tasks import TASKS
from sceval.metrics.registry import RANK_BY, headline
from sceval.report.asks import Ask, ask

if TYPE_CHECKING:
    from sceval.report.boards import Board
    from sceval.report.verdicts import Verdict

NEAR = 0.15
"""A control further than this from its end of the scale is marked: the ends are means over seeds, a run is not."""


MOST_REASONS = 3
"""Reasons shown where a task is not applicable to a dataset; all of them are in the run table."""


@dataclass(frozen=True)
class Control:
    """One control of a task on the metric that ranks.

    Attributes
    ----------
    variant, kind
        Which run it is.
    scaled
        One value for each board of the task, None where it has none.
    mean
        Their mean over the boards whose metric says something; None where there is none.
    off
        Whether it is not where a control should be: a blind one above 0, an oracle below 1, by more than `NEAR`.
    """

    variant: str
    kind: str
    scaled: list[float | None]
    mean: float | None
    off: bool


@dataclass(frozen=True)
class TaskPage:
    """One task.

    Attributes
    ----------
    splits
        Those with a board, and what each holds out.
    idle
        Dataset, splits and reasons where the task is not applicable to any model.
    """

    task: str
    ask: Ask
    verbs: tuple[str, ...]
    ranked_by: str
    headline: list[str]
    splits: list[tuple[str, str]]
    verdicts: list[tuple[Board, Verdict]]
    controls: list[Control]
    idle: list[tuple[str, list[str], list[str]]]

    @property
    def boards(self) -> list[Board]:
        """Boards of the task."""
        return [board for board, _ in self.verdicts]


def in_order(boards: list[Board]) -> list[Board]:
    """Return the boards in the order of the tasks of the contract, unknown ones last; otherwise as they come."""
    order = list(TASKS)
    return sorted(boards, key=lambda b: (order.index(b.task) if b.task in order else len(order), b.task))


def task_pages(verdicts: list[tuple[Board, Verdict]], idle: list[Board]) -> list[TaskPage]:
    """Return a page for each task that has a board, idle ones included; the tasks stand in their order."""
    pages = []
    tasks = [board.task for board in in_order([*(board for board, _ in verdicts), *idle])]
    for task in dict.fromkeys(tasks):
        mine = [(board, told) for board, told in verdicts if board.task == task]
        words = ask(task)
        splits = [(split, words.splits.get(split, "")) for split in dict.fromkeys(board.split for board, _ in mine)]
        card = TASKS.get(task)
        used = {name for board, _ in mine for name in (board.metric, *board.metrics)}
        pages.append(
            TaskPage(
                task,
                words,
                card.verbs if card else (),
                RANK_BY.get(task, ""),
                [metric.id for metric in headline(task) if metric.id in used],
                splits,
                mine,
                _controls([board for board, _ in mine]),
                _idle([board for board in idle if board.task == task]),
            )
        )
    return pages


def _idle(boards: list[Board]) -> list[tuple[str, list[str], list[str]]]:
    """Join the idle boards of a dataset; of their reasons those that most runs have."""
    found: dict[str, tuple[list[str], dict[str, int]]] = {}
    for board in boards:
        splits, reasons = found.setdefault(board.dataset, ([], {}))
        splits.append(board.split)
        for hole in (hole for entry in board.absent for hole in entry.holes):
            reasons[hole["reason"]] = reasons.get(hole["reason"], 0) + hole["n"]
    return [
        (name, splits, sorted(reasons, key=lambda text: (-reasons[text], text))[:MOST_REASONS])
        for name, (splits, reasons) in found.items()
    ]


def _controls(boards: list[Board]) -> list[Control]:
    found: dict[tuple[str, str], list[float | None]] = {}
    for place, board in enumerate(boards):
        for entry in board.entries:
            if entry.kind.endswith("_control"):
                values = found.setdefault((entry.kind, entry.variant), [None] * len(boards))
                values[place] = entry.scaled
    rows = []
    for (kind, variant), values in found.items():
        known = [v for v, board in zip(values, boards, strict=True) if v is not None and not board.caution]
        mean = fmean(known) if known else None
        off = mean is not None and (mean > NEAR if kind == "negative_control" else mean < 1 - NEAR)
        rows.append(Control(variant, kind, values, mean, off))
    return sorted(rows, key=lambda r: (r.kind, -(r.mean if r.mean is not None else -9), r.variant))
