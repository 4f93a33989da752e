"""Which gene of a model's vocabulary each column of a matrix is, whatever name the file gives it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sceval.data.gene_tables import AMBIGUOUS, HumanGenes, human_genes, mouse_to_human
from sceval.data.genes import Genes

KINDS = ("symbol", "ensembl")

DUPLICATE = "duplicate"
"""How a column ends whose gene stands exactly in another column: it is not used."""

_ENSEMBL = re.compile(r"(ENS[A-Z]*G\d{11})(?:\.\d+)?(?:_PAR_Y)?")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec"
_DATE = re.compile(rf"\d{{1,2}}-(?:{_MONTHS})|(?:{_MONTHS})-\d{{1,2}}|\d{{4}}-\d\d-\d\d(?: 00:00:00)?", re.IGNORECASE)
_CALLED = {
    "version": "Ensembl ids by dropping the version",
    "ensembl": "by Ensembl id",
    "approved": "by approved symbol",
    "previous": "by previous symbol",
    "alias": "by alias",
    "case": "by another upper and lower case",
    "orthologue": "by one-to-one orthologue",
    "upper_case": "by the mouse symbol in upper case",
}


def without_version(name: str) -> str:
    """Return an Ensembl id without version (`ENSG00000075624.17` -> `ENSG00000075624`); other names as they are."""
    found = _ENSEMBL.fullmatch(name)
    return found[1] if found else name


@dataclass(frozen=True)
class Collision:
    """Several columns that are one known gene: `summed`, or all but the exact one left out."""

    known: str
    columns: tuple[int, ...]
    summed: bool


@dataclass(frozen=True)
class Resolution:
    """What each column is.

    Attributes
    ----------
    names
        Known name of each column, None where there is none or the column is not used.
    how
        `exact`, `version`, `ensembl`, `approved`, `previous`, `alias`, `case`, `orthologue`, `upper_case`; `duplicate`
        where the gene stands exactly in another column; `ambiguous`, `date`; an empty text where nothing was found.
    recognised
        Share of the columns that have a name, 0 to 1.
    ambiguous
        Names that several genes share, and that are therefore not used.
    dates
        Names that a spreadsheet has turned into dates; they are never guessed.
    collisions
        Known genes that several columns name.
    """

    names: list[str | None]
    how: list[str]
    recognised: float
    ambiguous: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    collisions: list[Collision] = field(default_factory=list)

    def ids(self, tokens: Mapping[str, int]) -> np.ndarray:
        """Return the token of each column (g,) int64, -1 where it has none; `sum_columns` then adds up collisions."""
        return np.array([-1 if name is None else tokens.get(name, -1) for name in self.names], np.int64)

    def counts(self) -> dict[str, int]:
        """Return how many columns were found in each way."""
        return dict(sorted(Counter(way for way in self.how if way).items()))

    def warnings(self) -> list[str]:
        """Return a sentence for each kind of thing that was replaced or left out."""
        found = self.counts()
        lines = []
        other = [f"{found[way]} {words}" for way, words in _CALLED.items() if way in found]
        if other:
            lines.append(f"genes whose name differs from the model's were found otherwise: {', '.join(other)}")
        if self.ambiguous:
            lines.append(f"{len(self.ambiguous)} names that several genes share were not used: {_some(self.ambiguous)}")
        if self.dates:
            lines.append(
                f"{len(self.dates)} gene names are dates, as a spreadsheet makes them of MARCH1, SEPT2 or DEC1, and "
                f"were not guessed: {_some(self.dates)}"
            )
        summed = [c.known for c in self.collisions if c.summed]
        if summed:
            lines.append(f"{len(summed)} genes stand in several columns, whose counts were added: {_some(summed)}")
        dropped = [c.known for c in self.collisions if not c.summed]
        if dropped:
            lines.append(f"of {len(dropped)} genes the column of exactly that name was used alone: {_some(dropped)}")
        return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


class _Known:
    """A vocabulary, looked at by exact name, by gene and by case."""

    def __init__(self, known: Iterable[str], kind: str, human: HumanGenes) -> None:
        names = sorted(set(known))
        self.exact = {without_version(name): name for name in names} | {name: name for name in names}
        self.exact.pop("", None)
        self.gene: dict[int, tuple[int, str]] = {}
        self.folded: dict[str, str | None] = {}
        for name in names:
            if kind == "ensembl":
                gene, rank = human.ensembl.get(without_version(name)), 0
            else:
                gene, level = human.gene_of(name)
                rank = ("approved", "previous", "alias", "").index(level)
                folded = name.casefold()
                self.folded[folded] = None if folded in self.folded else name
            if gene is not None and gene != AMBIGUOUS and rank < self.gene.get(gene, (9, ""))[0]:
                self.gene[gene] = (rank, name)

    def of_gene(self, gene: int) -> str | None:
        """Return the name that the vocabulary has for a gene; its approved one before former ones and aliases."""
        return self.gene.get(gene, (0, None))[1]


class _Resolver:
    def __init__(self, known: Iterable[str], kind: str, organism: str) -> None:
        self.human, self.kind, self.organism = human_genes(), kind, organism
        self.known = _Known(known, kind, self.human)

    def exact(self, symbol: str, ensembl: str | None) -> tuple[str | None, str]:
        """Return the known name that a column has as it stands."""
        if self.kind == "symbol":
            return (symbol, "exact") if symbol in self.known.exact else (None, "")
        for text in (ensembl, symbol if _ENSEMBL.fullmatch(symbol) else None):
            name = self.known.exact.get(text or "") or self.known.exact.get(without_version(text or ""))
            if name:
                return name, "exact" if name == text else "version"
        return None, ""

    def _of_human(self, symbol: str, levels: tuple[str, ...], how: str = "") -> tuple[str | None, str]:
        gene, level = self.human.gene_of(symbol)
        if gene == AMBIGUOUS:
            return None, "ambiguous"
        name = self.known.of_gene(gene) if gene is not None and level in levels else None
        return name, (how or level) if name else ""

    def other(self, symbol: str, ensembl: str | None) -> tuple[str | None, str]:
        """Return the known name of a column that has none as it stands."""
        stated = without_version(ensembl or symbol)
        gene = self.human.ensembl.get(stated)
        if gene is not None:  # the id says which gene it is: its symbol is not asked any more
            name = self.known.of_gene(gene)
            return name, "ensembl" if name else ""
        if not symbol or _ENSEMBL.fullmatch(symbol):
            return None, ""
        name, how = self.mouse(symbol) if self.organism == "mouse" else self.same_organism(symbol)
        # After the tables: OCT-4 and APR-2 are aliases.
        return (name, "date") if not how and _DATE.fullmatch(symbol) else (name, how)

    def same_organism(self, symbol: str) -> tuple[str | None, str]:
        """Return the known name of a human symbol: by approved, previous and alias symbols, then by case."""
        name, how = self._of_human(symbol, ("approved", "previous", "alias"))
        if how:
            return name, how
        folded = symbol.casefold()
        if name := self.known.folded.get(folded):
            return name, "case"
        return self._of_human(self.human.spelling.get(folded, ""), ("approved", "previous"), "case")

    def mouse(self, symbol: str) -> tuple[str | None, str]:
        """Return the known name of a mouse symbol: by its only orthologue, then as the same symbol in upper case."""
        for human, how in ((mouse_to_human().get(symbol, ""), "orthologue"), (symbol.upper(), "upper_case")):
            if human in self.known.exact:
                return self.known.exact[human], how
            # A mouse symbol in upper case may be an alias of another human gene: aliases are not asked.
            name, found = self._of_human(human, ("approved", "previous"), how)
            if name:
                return name, found
        return None, ""


def _settle(names: list[str | None], how: list[str]) -> list[Collision]:
    columns: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        if name is not None:
            columns.setdefault(name, []).append(column)
    out = []
    for name, places in columns.items():
        if len(places) == 1:
            continue
        exact = [column for column in places if how[column] == "exact"]
        for column in places if exact else ():
            if column not in exact:
                names[column], how[column] = None, DUPLICATE
        out.append(Collision(name, tuple(exact or places) if len(exact) != 1 else tuple(places), len(exact) != 1))
    return out


def resolve(genes: Genes, known: Iterable[str], kind: str = "symbol", *, exact_only: bool = False) -> Resolution:
    """Say which gene of a vocabulary each column is.

    An exact match always wins. Else the Ensembl id of the column decides where it is a current human one; else its
    symbol does: approved before previous before alias (HGNC). A name that two genes share is not used. What differs
    by case alone is taken where it is unique. Mouse symbols go to human by one-to-one orthologue (Ensembl 105), then in
    upper case. The vocabulary may itself hold former symbols or versioned ids: it is read by the same rules.
    Two columns that are one known gene: the exact one is used alone, else all stay and their counts are to be added.

    Parameters
    ----------
    genes
        The columns.
    known
        Names of the vocabulary, without its special tokens.
    kind
        What these names are: `symbol` or `ensembl`.
    exact_only
        Take nothing but exact matches, as the official code of most models does.

    Raises
    ------
    ValueError
        If `kind` is neither.
    """
    if kind not in KINDS:
        msg = f"gene names of kind {kind!r}; expected one of {', '.join(KINDS)}"
        raise ValueError(msg)
    resolver = _Resolver(known, kind, genes.organism)
    names: list[str | None] = []
    how: list[str] = []
    for symbol, ensembl in zip(genes.symbols, genes.ensembl, strict=True):
        name, way = resolver.exact(symbol, ensembl)
        if exact_only and way != "exact":
            name, way = None, ""
        elif name is None and not exact_only:
            name, way = resolver.other(symbol, ensembl)
        names.append(name)
        how.append(way)
    collisions = _settle(names, how)
    share = sum(name is not None for name in names) / max(len(names), 1)
    shown = [symbol or ensembl or "" for symbol, ensembl in zip(genes.symbols, genes.ensembl, strict=True)]
    ambiguous = [name for name, way in zip(shown, how, strict=True) if way == "ambiguous"]
    dates = [name for name, way in zip(shown, how, strict=True) if way == "date"]
    return Resolution(names, how, share, ambiguous, dates, collisions)
