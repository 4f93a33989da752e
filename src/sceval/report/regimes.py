"""The regimes of a model side by side, each against the same model from random weights: what pre-training adds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sceval.report.pairs import Gain
from sceval.report.text import slug

if TYPE_CHECKING:
    from sceval.report.boards import Board
    from sceval.report.entries import Entry

ORDER = ("zero_shot", "probe", "frozen_embeddings", "frozen", "encoder_only", "decoder_only", "finetune", "scratch")
SCRATCH = "scratch"


@dataclass(frozen=True)
class Line:
    """One variant, and its paired difference from the same model from scratch, None where that has no score."""

    entry: Entry
    gain: Gain | None

    @property
    def outcome(self) -> str:
        """`better`, `worse`, `same` (the interval holds 0), or empty where there is no paired interval."""
        if self.gain is None or self.gain.low is None or self.gain.high is None:
            return ""
        return "better" if self.gain.low > 0 else "worse" if self.gain.high < 0 else "same"


@dataclass
class Block:
    """One model of one board."""

    model: str
    lines: list[Line]
    absent: list[Entry]


@dataclass
class RegimeBoard:
    """The models of one board that have more than one regime with a score."""

    board: Board
    blocks: list[Block]

    @property
    def anchor(self) -> str:
        """Id in deep links."""
        return slug("regimes", self.board.anchor)


@dataclass
class Mean:
    """One model and regime over the boards of a task."""

    scaled: float
    n_boards: int
    outcomes: dict[str, int]


@dataclass
class TaskRegimes:
    """The regimes of one task: means over boards, and the boards."""

    task: str
    regimes: list[str]
    rows: list[tuple[str, dict[str, Mean]]]
    boards: list[RegimeBoard]


def regimes(boards: list[Board]) -> list[TaskRegimes]:
    """Return the tasks in which some model has more than one regime with a score."""
    found = []
    for task in dict.fromkeys(board.task for board in boards):
        mine = [RegimeBoard(board, _blocks(board)) for board in boards if board.task == task]
        mine = [page for page in mine if page.blocks]
        if mine:
            found.append(_task(task, mine))
    return found


def place(regime: str) -> tuple[int, str]:
    """Return where a regime stands: from weights as they are to random weights, unknown ones last."""
    return ORDER.index(regime) if regime in ORDER else len(ORDER), regime


def _blocks(board: Board) -> list[Block]:
    models: dict[str, list[Entry]] = {}
    for entry in board.entries:
        if entry.kind in ("model", "baseline"):
            models.setdefault(entry.model, []).append(entry)
    blocks = []
    for model, entries in models.items():
        if len({entry.regime for entry in entries}) < 2:
            continue
        base = next((e for e in sorted(entries, key=lambda e: len(e.variant)) if e.regime == SCRATCH), None)
        lines = [
            Line(entry, None if base is None or entry is base else board.pairs.gain(entry, base))
            for entry in sorted(entries, key=lambda e: (place(e.regime), len(e.variant), e.variant))
        ]
        absent = sorted((e for e in board.absent if e.model == model), key=lambda e: place(e.regime))
        blocks.append(Block(model, lines, absent))
    return blocks


def _task(task: str, boards: list[RegimeBoard]) -> TaskRegimes:
    lines: dict[str, dict[str, list[Line]]] = {}
    for page in boards:
        for block in page.blocks:
            for regime in dict.fromkeys(line.entry.regime for line in block.lines):
                # Of several variants of a regime the plain one stands in the table of means: its name is the shortest.
                first = next(line for line in block.lines if line.entry.regime == regime)
                if first.entry.scaled is not None:
                    lines.setdefault(block.model, {}).setdefault(regime, []).append(first)
    columns = sorted({regime for row in lines.values() for regime in row}, key=place)
    rows = [(model, {regime: _mean(found) for regime, found in row.items()}) for model, row in sorted(lines.items())]
    return TaskRegimes(task, columns, rows, boards)


def _mean(lines: list[Line]) -> Mean:
    outcomes = {name: sum(line.outcome == name for line in lines) for name in ("better", "same", "worse")}
    return Mean(fmean(line.entry.scaled for line in lines), len(lines), outcomes)
