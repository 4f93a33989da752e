"""Every metric of a board beside every variant: the parts that the composite is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sceval.report.boards import group
from sceval.report.text import missing

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.boards import Board
    from sceval.report.entries import Entry
    from sceval.report.load import Results

MOST_REMARKS = 4
COMPOSITES = ("s_final", "s_bio", "s_batch")


@dataclass
class Column:
    """One metric of a board."""

    metric: str
    direction: int
    headline: bool
    informative: bool
    anchor0: float | None
    anchor1: float | None
    mdd: float | None
    notes: list[str]

    @property
    def mark(self) -> str:
        """Why the metric stays out of the rank: `demoted`, `uninformative`, or empty."""
        if self.informative:
            return ""
        return "demoted" if any("demot" in note.lower() for note in self.notes) else "uninformative"


@dataclass
class Parts:
    """The table of one board."""

    board: Board
    columns: list[Column]
    remarks: list[tuple[str, list[Column]]]
    rows: list[tuple[Entry, list[dict[str, Any] | None]]]


def parts(results: Results, boards: list[Board]) -> list[Parts]:
    """Return the metric table of every board that has a score."""
    found = []
    for board in boards:
        key = (board.task, board.dataset, board.split)
        summary, scores = group(results["summary"], key), group(results["scores"], key)
        names = list(dict.fromkeys([*COMPOSITES, *summary.metric, *scores.metric]))
        present = set(summary.metric) | set(scores.metric)
        columns = [_column(name, summary, scores) for name in names if name in present]
        columns.sort(key=lambda c: (c.metric != board.metric, c.metric not in COMPOSITES, not c.headline))
        cells = {(row["variant"], row["metric"]): row for row in summary.to_dict("records")}
        rows = [
            (entry, [_cell(cells.get((entry.variant, column.metric))) for column in columns])
            for entry in board.entries + board.absent
            if (summary.variant == entry.variant).any()
        ]
        if rows:
            found.append(Parts(board, columns, _remarks(columns), rows))
    return found


def _remarks(columns: list[Column]) -> list[tuple[str, list[Column]]]:
    """Return what is to be said about metrics, each sentence once with the metrics that it is about."""
    found: dict[str, list[Column]] = {}
    for column in columns:
        told = list(dict.fromkeys(part for note in column.notes for part in _split(note, column.mark)))
        if column.mark and not any(column.mark in part for part in told):
            told.append(f"{column.mark}: the anchors are not apart here")
        for part in told[:MOST_REMARKS]:
            found.setdefault(part, []).append(column)
        if len(told) > MOST_REMARKS:
            found.setdefault("more notes are in scores.csv", []).append(column)
    return list(found.items())


def _split(note: str, mark: str) -> list[str]:
    """Part the sentence that says why a metric is out of the rank from the rest of a note."""
    pieces = note.split("; ")
    why = [piece for piece in pieces if mark and piece.startswith(mark)]
    rest = "; ".join(piece for piece in pieces if piece not in why)
    return [*([rest] if rest else []), *why]


def _cell(row: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {name: None if missing(value) else value for name, value in row.items()}


def _column(metric: str, summary: pd.DataFrame, scores: pd.DataFrame) -> Column:
    mine, own = summary[summary.metric == metric], scores[scores.metric == metric]
    source = mine if len(mine) else own
    notes = list(dict.fromkeys(own.note.dropna()))
    return Column(
        metric,
        int(source.direction.iloc[0]),
        bool(source.headline.fillna(False).any()),
        bool(source.informative.fillna(True).all()),
        *(_one(own[name]) for name in ("anchor0", "anchor1", "mdd")),
        notes,
    )


def _one(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.median()) if len(known) else None
