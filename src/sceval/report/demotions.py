"""Metrics that a cheat fooled: demoted where and by what, and where a metric says nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sceval.metrics.registry import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.boards import Board
    from sceval.report.load import Results

WORD = "demoted"
_BY = re.compile(r"the (?:blind )?(?:control|cheat) (\S+)")


@dataclass
class Demotion:
    """One metric on one task.

    Attributes
    ----------
    task, metric
        Whose row it is.
    blind_spots
        What the declaration says that the metric cannot see.
    headline
        Whether it is declared a headline metric of the task, so that the demotion costs a rank.
    fooled_by
        Cheats that the notes name.
    places
        Board -> the note.
    n_boards
        Boards of the task on which the metric has a value.
    """

    task: str
    metric: str
    blind_spots: str
    headline: bool
    fooled_by: list[str] = field(default_factory=list)
    places: list[tuple[Board, str]] = field(default_factory=list)
    n_boards: int = 0


def demotions(results: Results, boards: list[Board]) -> list[Demotion]:
    """Return what was demoted, by task; headline metrics first, then by how often."""
    found: dict[tuple[str, str], Demotion] = {}
    scored: dict[tuple[str, str], set[tuple[str, str]]] = {}
    by_key = {(board.task, board.dataset, board.split): board for board in boards}
    for (task, dataset, split, metric), notes in _notes(results["scores"]).items():
        scored.setdefault((task, metric), set()).add((dataset, split))
        told = [piece for note in notes for piece in note.split("; ") if WORD in piece.lower()]
        board = by_key.get((task, dataset, split))
        if not told or board is None:
            continue
        declared = METRICS.get(metric)
        row = found.setdefault(
            (task, metric),
            Demotion(
                task,
                metric,
                declared.blind_spots if declared else "",
                bool(declared and task in declared.headline),
            ),
        )
        row.places.append((board, told[0]))
        row.fooled_by += [name for piece in told for name in _BY.findall(piece) if name not in row.fooled_by]
    for key, row in found.items():
        row.n_boards = len(scored[key])
    order = list(dict.fromkeys(board.task for board in boards))
    return sorted(found.values(), key=lambda r: (order.index(r.task), not r.headline, -len(r.places), r.metric))


def _notes(scores: pd.DataFrame) -> dict[tuple[str, str, str, str], list[str]]:
    """Return (task, dataset, split, metric) -> its distinct notes, for each that has a value."""
    notes: dict[tuple[str, str, str, str], list[str]] = {}
    columns = scores[["task", "dataset", "split", "metric", "note"]].drop_duplicates()
    for *key, note in columns.itertuples(index=False):
        told = notes.setdefault(tuple(key), [])
        if isinstance(note, str) and note:
            told.append(note)
    return notes
