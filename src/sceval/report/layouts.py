"""Two-dimensional pictures of embeddings, packed so that thousands of points cost a few kilobytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.report.text import slug

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.boards import Board
    from sceval.report.load import Results

MOST_POINTS = 3000
"""Points drawn for each dataset; where there are more an even sample of the cells is drawn, and the report says so."""
STEPS = 65535
UNKNOWN = "not labeled"


@dataclass
class Gallery:
    """The pictures of one board: one set of cells, their batches and types, and coordinates for each variant."""

    anchor: str
    task: str
    dataset: str
    split: str
    n_cells: int
    n_drawn: int
    colors: dict[str, list[str]]
    codes: dict[str, str]
    pictures: list[dict[str, str]] = field(default_factory=list)
    without: list[str] = field(default_factory=list)

    def payload(self) -> dict[str, Any]:
        """Return what the page's script needs to draw."""
        names = ("n_drawn", "colors", "codes")
        return {name: getattr(self, name) for name in names} | {"xy": [p["xy"] for p in self.pictures]}


def galleries(results: Results, boards: list[Board]) -> list[Gallery]:
    """Pack the layouts of every board; one picture for each variant, from its first run that has one."""
    layout, runs = results["layout"], results["runs"]
    if layout.empty:
        return []
    pictures = dict(tuple(layout.groupby("run_id")))
    found = []
    for board in boards:
        mine = runs[(runs.task == board.task) & (runs.dataset == board.dataset) & (runs.split == board.split)]
        chosen = mine[mine.run_id.isin(pictures)].sort_values(["split_seed", "seed"]).drop_duplicates("variant")
        if len(chosen):
            tables = {v: pictures[run].set_index("cell") for v, run in zip(chosen.variant, chosen.run_id, strict=True)}
            found.append(_gallery(board, tables))
    return found


def _gallery(board: Board, tables: dict[str, pd.DataFrame]) -> Gallery:
    first = next(iter(tables.values()))
    cells = first.index.unique()
    for table in tables.values():
        cells = cells.union(table.index.unique(), sort=False)
    n_cells = len(cells)
    if n_cells > MOST_POINTS:
        cells = cells[np.linspace(0, n_cells - 1, MOST_POINTS).astype(int)]
    facts = next((t for t in tables.values() if len(t.index.unique()) == n_cells), first)
    facts = facts[~facts.index.duplicated()].reindex(cells)
    colors, codes = {}, {}
    for column in ("batch", "cell_type"):
        values = facts[column].astype("object").where(facts[column].notna(), UNKNOWN)
        names = sorted(set(values), key=lambda name: (name == UNKNOWN, name))
        colors[column] = names
        number = {name: n for n, name in enumerate(names)}
        codes[column] = _packed(np.array([number[v] for v in values], dtype="<u2"))
    gallery = Gallery(
        slug("map", board.anchor), board.task, board.dataset, board.split, n_cells, len(cells), colors, codes
    )
    for entry in board.entries + board.absent:
        if entry.variant in tables:
            place = {"variant": entry.variant, "kind": entry.kind, "xy": _coordinates(tables[entry.variant], cells)}
            gallery.pictures.append(place)
        elif entry.value is not None:
            gallery.without.append(entry.variant)
    return gallery


def _coordinates(table: pd.DataFrame, cells: pd.Index) -> str:
    """Return x and y of each cell as 16-bit steps; both axes share one scale, which keeps the shape. 0 is absent."""
    points = table[~table.index.duplicated()].reindex(cells)[["x", "y"]].to_numpy(dtype=float)
    known = np.isfinite(points).all(axis=1)
    low, high = points[known].min(axis=0), points[known].max(axis=0)
    extent = float((high - low).max()) or 1.0
    steps = 1 + (points - (low + high) / 2 + extent / 2) / extent * (STEPS - 1)
    return _packed(np.where(known[:, None], np.nan_to_num(steps), 0).clip(0, STEPS).astype("<u2"))


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
