"""What names human genes have had, and their mouse orthologues: tables inside the package, read when first needed.

Sources and licences: `assets/genes/SOURCES.md`. `setup/gene_tables.py` makes the tables.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "genes"

AMBIGUOUS = -1
"""Stands for a previous or alias symbol that two approved genes share."""

LEVELS = ("approved", "previous", "alias")
"""From the most to the least trusted kind of name."""


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name, gene in pairs:
        out[name] = gene if out.get(name, gene) == gene else AMBIGUOUS
    return out


@dataclass(frozen=True)
class HumanGenes:
    """Names of the human genes; a gene is a number.

    Attributes
    ----------
    approved, previous, alias
        Symbol -> gene, `AMBIGUOUS` where two genes share it.
    ensembl
        Ensembl id without version -> gene.
    symbols
        Approved symbol of each gene.
    """

    approved: dict[str, int]
    previous: dict[str, int]
    alias: dict[str, int]
    ensembl: dict[str, int]
    symbols: list[str]

    def gene_of(self, symbol: str) -> tuple[int | None, str]:
        """Return (gene, level) of a symbol: None where no gene has it, `AMBIGUOUS` where several have.

        An approved symbol is never looked up as another gene's former name, nor a former name as an alias.
        """
        for level in LEVELS:
            gene = getattr(self, level).get(symbol)
            if gene is not None:
                return gene, level
        return None, ""

    @cached_property
    def spelling(self) -> dict[str, str]:
        """Approved and previous symbols by their case-folded form; only those that are the only one of that form."""
        out: dict[str, str] = {}
        repeated = set()
        for symbol in (*self.approved, *(name for name in self.previous if name not in self.approved)):
            folded = symbol.casefold()
            if folded in out and not (out[folded] in self.approved and symbol not in self.approved):
                repeated.add(folded)
            out.setdefault(folded, symbol)
        return {folded: symbol for folded, symbol in out.items() if folded not in repeated}


def _lines(name: str) -> list[list[str]]:
    text = gzip.decompress((FOLDER / name).read_bytes()).decode()
    return [line.split("\t") for line in text.splitlines()]


@cache
def human_genes() -> HumanGenes:
    """Return the names of all human genes that HGNC names (42,304)."""
    rows = _lines("hgnc.tsv.gz")
    return HumanGenes(
        approved={row[0]: i for i, row in enumerate(rows)},
        previous=_unique((name, i) for i, row in enumerate(rows) for name in row[1].split("|") if name),
        alias=_unique((name, i) for i, row in enumerate(rows) for name in row[2].split("|") if name),
        ensembl={f"ENSG{row[3]:0>11}": i for i, row in enumerate(rows) if row[3]},
        symbols=[row[0] for row in rows],
    )


@cache
def mouse_to_human() -> dict[str, str]:
    """Return the human symbol of each mouse symbol that has exactly one orthologue (Ensembl 105)."""
    return {row[0]: row[1] if len(row) > 1 else row[0].upper() for row in _lines("mouse_to_human.tsv.gz")}
