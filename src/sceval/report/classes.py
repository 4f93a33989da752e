"""Confusion matrices and the scores of single classes, pooled over the runs of a variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sceval.report.text import slug

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.boards import Board, Entry
    from sceval.report.load import Results


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
    runs, confusion, per_class = results["runs"], results["confusion"], results["per_class"]
    pages = []
    for board in boards:
        mine = runs[(runs.task == board.task) & (runs.dataset == board.dataset) & (runs.split == board.split)]
        counts = confusion.merge(mine[["run_id", "variant"]], on="run_id")
        scores = per_class.merge(mine[["run_id", "variant"]], on="run_id")
        if len(counts) or len(scores):
            pages.append(_page(board, counts, scores))
    return pages


def _page(board: Board, counts: pd.DataFrame, scores: pd.DataFrame) -> ClassPage:
    matrices = []
    # Those that compete come first: an oracle's matrix is of less interest than the winner's.
    for entry in [*board.ranked, *(e for e in board.entries if not e.ranked), *board.absent]:
        own = counts[counts.variant == entry.variant]
        if len(own):
            matrices.append(_matrix(board, entry, own, scores[scores.variant == entry.variant]))
    facts = scores.groupby("cell_type", sort=True)[["n_test", "n_train", "in_macro"]].first()
    labels = [{"name": name, **row} for name, row in facts.to_dict("index").items()]
    means = scores.groupby(["variant", "cell_type"]).f1.mean()
    f1 = []
    for entry in board.entries:
        if (scores.variant == entry.variant).any():
            f1.append((entry, [means.get((entry.variant, label["name"])) for label in labels]))
    return ClassPage(board, matrices, labels, f1)


def _matrix(board: Board, entry: Entry, counts: pd.DataFrame, scores: pd.DataFrame) -> Matrix:
    table = counts.pivot_table(index="truth", columns="prediction", values="n", aggfunc="sum", fill_value=0)
    # A label that is predicted but never true (or `unassigned`) gets a column of its own behind the true ones.
    truths = sorted(table.index[table.sum(axis=1) > 0])
    extra = sorted(name for name in table.columns if name not in truths and table[name].sum() > 0)
    table = table.reindex(index=truths, columns=truths + extra, fill_value=0)
    totals = [int(n) for n in table.sum(axis=1)]
    rows = [
        [(int(n), float(n) / total if total else 0.0) for n in row]
        for row, total in zip(table.to_numpy(), totals, strict=True)
    ]
    columns = {"n_test": "first", "n_train": "first", "precision": "mean", "recall": "mean", "f1": "mean"}
    classes = scores.groupby("cell_type", sort=True).agg(columns | {"in_macro": "first"}).reset_index()
    anchor = slug("classes", board.anchor, entry.variant)
    n_runs = int(counts.run_id.nunique())
    return Matrix(entry, anchor, n_runs, truths, truths + extra, rows, totals, classes.to_dict("records"))
