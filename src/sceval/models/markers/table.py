"""The marker table and how a dataset's labels find their row in it."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TABLE = Path(__file__).parent / "assets" / "markers.tsv"
"""Cell types of blood and of common tissues with seven well-known human marker genes each, written for this project."""

_FILLERS = frozenset({"cell", "cells", "human", "mouse", "the", "of"})


@dataclass(frozen=True)
class CellType:
    """A row: name, the names it is known by (as sets of words), marker genes."""

    name: str
    names: tuple[frozenset[str], ...]
    genes: tuple[str, ...]


def words(label: str) -> frozenset[str]:
    """Return the words of a label in lower case: no punctuation, no plural, no `cell`.

    >>> sorted(words("CD14+ Monocytes"))
    ['cd14', 'monocyte']
    """
    found = re.findall(r"[a-z0-9]+", label.lower())
    singular = [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in found]
    return frozenset(word for word in singular if word not in _FILLERS)


@lru_cache(maxsize=1)
def cell_types() -> tuple[CellType, ...]:
    """Return the table."""
    with TABLE.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return tuple(
        CellType(
            row["type"],
            tuple(dict.fromkeys(words(name) for name in [row["type"], *row["names"].split("|")])),
            tuple(row["genes"].split(",")),
        )
        for row in rows
    )


def find(label: str) -> CellType | None:
    """Return the cell type whose name a label has or contains; the longest name wins, then the first in the table.

    `CD4+ T Helper2` contains `t helper2`, `CD8+ naive T` contains `naive cd8 t`, `double negative T` contains `t`.
    """
    wanted = words(label)
    best, length = None, 0
    for kind in cell_types():
        for name in kind.names:
            if name and name <= wanted and len(name) > length:
                best, length = kind, len(name)
    return best
