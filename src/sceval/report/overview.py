"""Models against tasks: what each model reaches on the two-anchor scale, its rank interval, coverage and cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sceval.report.boards import Board
    from sceval.report.entries import Entry


@dataclass
class Cell:
    """One model on one task.

    Attributes
    ----------
    entry
        The variant shown: of those scored on most boards the one with the highest mean. None where none has a score.
    scaled, low, high
        Mean over the boards on the two-anchor scale; the ends are means of the ends, because boards often share cells.
    rank_low, rank_high, n_ranked
        Medians over the boards.
    coverage
        Share of the planned runs of this variant that have a score, over all boards where it is applicable.
    n_variants
        Variants of the model among which the choice was made.
    boards
        Boards that the numbers are means over.
    semi
        `all`, `some` or empty: whether their datasets are semi-synthetic.
    aside
        Whether the ranking metric is uninformative on each of them.
    holes
        Statuses and reasons, where there is no score.
    """

    task: str
    entry: Entry | None = None
    scaled: float | None = None
    low: float | None = None
    high: float | None = None
    rank_low: float | None = None
    rank_high: float | None = None
    n_ranked: float | None = None
    coverage: float | None = None
    cpu_s: float | None = None
    n_variants: int = 0
    boards: list[Board] = field(default_factory=list)
    semi: str = ""
    aside: bool = False
    holes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def link(self) -> str:
        """Id of what the cell leads to: its board, or the page of the task where there are several."""
        return self.boards[0].anchor if len(self.boards) == 1 else f"task-{self.task}"


@dataclass
class Row:
    """One model on all tasks."""

    model: str
    kind: str
    cells: dict[str, Cell]

    @property
    def scored(self) -> list[Cell]:
        """Cells with a number that counts."""
        return [cell for cell in self.cells.values() if cell.scaled is not None and not cell.aside]

    @property
    def mean(self) -> float | None:
        """Mean over the tasks that count; comparable only between models that have the same tasks."""
        return fmean(cell.scaled for cell in self.scored) if self.scored else None

    @property
    def cpu_s(self) -> float | None:
        """Geometric mean over tasks of the CPU seconds of a run."""
        known = [cell.cpu_s for cell in self.scored if cell.cpu_s]
        return math.exp(fmean(map(math.log, known))) if known else None


@dataclass
class Overview:
    """The heat map; `controls` are the best blind control and the oracle."""

    tasks: list[str]
    n_boards: dict[str, int]
    rows: list[Row]
    controls: list[tuple[str, str, dict[str, float]]]


def overview(boards: list[Board], cards: list[dict[str, Any]]) -> Overview:
    """Return the heat map of all boards; models first, then baselines, each by tasks scored and mean."""
    semi = {card["dataset"]: bool(card.get("semi_synthetic")) for card in cards}
    tasks = list(dict.fromkeys(board.task for board in boards))
    models: dict[str, str] = {}
    for board in boards:
        for entry in board.entries + board.absent:
            if entry.kind in ("model", "baseline"):
                models.setdefault(entry.model, entry.kind)
    by_task = {task: [board for board in boards if board.task == task] for task in tasks}
    rows = [
        Row(model, kind, {task: cell(task, model, mine, semi) for task, mine in by_task.items()})
        for model, kind in models.items()
    ]
    rows.sort(key=lambda row: (row.kind != "model", -len(row.scored), -(row.mean or 0), row.model))
    return Overview(tasks, {task: len(mine) for task, mine in by_task.items()}, rows, _controls(by_task))


def cell(task: str, model: str, boards: list[Board], semi: dict[str, bool]) -> Cell:
    """Return one model on one task."""
    found: dict[str, list[tuple[Board, Entry]]] = {}
    holes: list[dict[str, Any]] = []
    for board in boards:
        for entry in board.entries + board.absent:
            if entry.model == model:
                found.setdefault(entry.variant, []).append((board, entry))
                holes += entry.holes if entry.value is None else []
    scored = {v: [(b, e) for b, e in pairs if e.ranked and e.scaled is not None] for v, pairs in found.items()}
    scored = {variant: pairs for variant, pairs in scored.items() if pairs}
    if not scored:
        return Cell(task, holes=holes)
    chosen = max(scored, key=lambda v: (len(_counting(scored[v])), fmean(e.scaled for _, e in _used(scored[v])), v))
    used = _used(scored[chosen])
    entries = [entry for _, entry in used]
    marks = [semi.get(board.dataset, False) for board, _ in used]
    applicable = [e for _, e in found[chosen] if e.value is not None or any(_due(hole) for hole in e.holes)]
    cpu = [e.cpu_s for e in entries if e.cpu_s]
    return Cell(
        task,
        entry=entries[0],
        scaled=fmean(e.scaled for e in entries),
        low=_mean([e.low for e in entries]),
        high=_mean([e.high for e in entries]),
        rank_low=_median([e.rank_low for e in entries]),
        rank_high=_median([e.rank_high for e in entries]),
        n_ranked=_median([len(board.ranked) for board, _ in used]),
        coverage=fmean(e.coverage or 0.0 for e in applicable),
        cpu_s=math.exp(fmean(map(math.log, cpu))) if cpu else None,
        n_variants=len(scored),
        boards=[board for board, _ in used],
        semi="all" if all(marks) else "some" if any(marks) else "",
        aside=not _counting(used),
        holes=holes,
    )


def _due(hole: dict[str, Any]) -> bool:
    return hole["status"] != "not_applicable"


def _counting(pairs: list[tuple[Board, Entry]]) -> list[tuple[Board, Entry]]:
    return [(board, entry) for board, entry in pairs if not board.caution]


def _used(pairs: list[tuple[Board, Entry]]) -> list[tuple[Board, Entry]]:
    """Boards whose metric says something; all where none does, and then the cell stands aside."""
    return _counting(pairs) or pairs


def _mean(values: list[float | None]) -> float | None:
    return None if any(value is None for value in values) else fmean(values)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _controls(by_task: dict[str, list[Board]]) -> list[tuple[str, str, dict[str, float]]]:
    rows = []
    for kind, name in (("negative_control", "best blind control"), ("positive_control", "oracle")):
        means = {}
        for task, boards in by_task.items():
            best = []
            for board in [b for b in boards if not b.caution] or boards:
                known = [e.scaled for e in board.entries if e.kind == kind and e.scaled is not None]
                best += [max(known)] if known else []
            if best:
                means[task] = fmean(best)
        if means:
            rows.append((kind, name, means))
    return rows
