"""Confusion matrices and the scores of single classes, pooled over the runs of a variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sceval.report.tables import records
from sceval.report.text import slug

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.boards import Board
    from sceval.report.entries import Entry
    from sceval.report.load import Results

Rows = dict[str, list[dict]]
RATES = ("precision", "recall", "f1")


@dataclass
class Matrix:
    """Counts of true against predicted labels of one variant, summed over its runs."""

    entry: Entry
    anchor: str
    n_runs: int
    labels: list[str]
    predictions: list[str]
    rows: list[list[tuple[int, float]]]
    totals: list[int]
    classes: list[dict]


@dataclass
class ClassPage:
    """The classes of one board: F1 by class and variant, and a matrix for each variant."""

    board: Board
    matrices: list[Matrix]
    labels: list[dict]
    f1: list[tuple[Entry, list[float | None]]]

    @property
    def anchor(self) -> str:
        """Id in deep links."""
        return slug("classes", self.board.anchor)


def class_pages(results: Results, boards: list[Board]) -> list[ClassPage]:
    """Return a page for each board whose runs have a confusion matrix or class scores."""
    counts, scores = _by_run(results["confusion"]), _by_run(results["per_class"])
    runs: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    names = ["task", "dataset", "split", "variant", "run_id"]
    for *key, variant, run in results["runs"][names].itertuples(index=False):
        if run in counts or run in scores:
            runs.setdefault(tuple(key), {}).setdefault(variant, []).append(run)
    pages = []
    for board in boards:
        mine = runs.get((board.task, board.dataset, board.split))
        if mine:
            pages.append(_page(board, mine, counts, scores))
    return pages


def _by_run(table: pd.DataFrame) -> Rows:
    rows: Rows = {}
    for row in records(table):
        rows.setdefault(row["run_id"], []).append(row)
    return rows


def _page(board: Board, runs: dict[str, list[str]], counts: Rows, scores: Rows) -> ClassPage:
    matrices, classes = [], {}
    # Those that compete come first: an oracle's matrix is of less interest than the winner's.
    for entry in [*board.ranked, *(e for e in board.entries if not e.ranked), *board.absent]:
        own = runs.get(entry.variant, [])
        classes[entry.variant] = _classes([row for run in own for row in scores.get(run, [])])
        cells = [row for run in own for row in counts.get(run, [])]
        if cells:
            matrices.append(_matrix(board, entry, cells, sum(run in counts for run in own), classes[entry.variant]))
    labels: dict[str, dict] = {}
    for rows in classes.values():
        for row in rows:
            labels.setdefault(row["cell_type"], {"name": row["cell_type"], **row})
    f1 = []
    for entry in board.entries:
        values = {row["cell_type"]: row["f1"] for row in classes[entry.variant]}
        if values:
            f1.append((entry, [values.get(name) for name in sorted(labels)]))
    return ClassPage(board, matrices, [labels[name] for name in sorted(labels)], f1)


def _classes(rows: list[dict]) -> list[dict]:
    """Return one row for each class: counts of the first run, means of the rates over runs."""
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["cell_type"], []).append(row)
    pooled = []
    for name in sorted(groups):
        known = {rate: [r[rate] for r in groups[name] if r[rate] is not None] for rate in RATES}
        pooled.append(groups[name][0] | {rate: sum(x) / len(x) if x else None for rate, x in known.items()})
    return pooled


def _matrix(board: Board, entry: Entry, cells: list[dict], n_runs: int, classes: list[dict]) -> Matrix:
    counts: dict[tuple[str, str], int] = {}
    for row in cells:
        place = (row["truth"], row["prediction"])
        counts[place] = counts.get(place, 0) + int(row["n"])
    # A label that is predicted but never true (or `unassigned`) gets a column of its own behind the true ones.
    truths = sorted({truth for (truth, _), n in counts.items() if n})
    extra = sorted({label for (_, label), n in counts.items() if n and label not in truths})
    rows, totals = [], []
    for truth in truths:
        row = [counts.get((truth, label), 0) for label in truths + extra]
        totals.append(sum(row))
        rows.append([(n, n / totals[-1]) for n in row])
    anchor = slug("classes", board.anchor, entry.variant)
    return Matrix(entry, anchor, n_runs, truths, truths + extra, rows, totals, classes)
