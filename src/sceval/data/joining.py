"""Two datasets over the genes that they share: by id, or by orthologue where their organisms differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from sceval.data.gene_names import resolve
from sceval.data.genes import Genes

LEAST_SHARED_GENES = 50
"""Genes that a query dataset must share with its reference."""


@dataclass(frozen=True)
class Shared:
    """Columns of two datasets that are one gene.

    Attributes
    ----------
    reference, query
        Column numbers, one of each for a gene, in the order of the dataset that gives the names.
    named_by_query
        Whether the query's names are used: across organisms the human ones are.
    findings
        How genes were found, in sentences.
    """

    reference: np.ndarray
    query: np.ndarray
    named_by_query: bool = False
    findings: tuple[str, ...] = ()


def shared_by_id(reference: np.ndarray, query: np.ndarray) -> Shared:
    """Return the columns of the same id (the index of var), in the order of the reference."""
    where = {name: column for column, name in enumerate(query)}
    mine = np.array([column for column, name in enumerate(reference) if name in where], int)
    return Shared(mine, np.array([where[reference[column]] for column in mine], int))


def shared_by_orthologue(reference: Genes, query: Genes) -> Shared:
    """Return the columns of one gene in two organisms, one of them human, in the order of the human dataset.

    The mouse genes are looked up among the human symbols by `gene_names.resolve`: as they are (a file may already
    carry human names), by their only orthologue (Ensembl 105), else as the same symbol in upper case. A human gene
    that several mouse columns name is left out, as one is that stands twice in the human dataset: it is not one-to-one.
    """
    flipped = reference.organism == "mouse"
    human, mouse = (query, reference) if flipped else (reference, query)
    found = resolve(mouse, [name for name in human.symbols if name], "symbol")
    columns: dict[str, list[int]] = {}
    for column, name in enumerate(found.names):
        if name is not None:
            columns.setdefault(name, []).append(column)
    repeated = {name for name, count in Counter(human.symbols).items() if count > 1}
    pairs = [
        (column, columns[name][0])
        for column, name in enumerate(human.symbols)
        if len(columns.get(name, ())) == 1 and name not in repeated
    ]
    several = sum(len(places) > 1 for places in columns.values())
    ways = ", ".join(f"{count} by {way.replace('_', ' ')}" for way, count in found.counts().items())
    findings = [f"{len(pairs)} of {len(mouse)} mouse genes joined to human ones (looked up: {ways or 'none'})"]
    if several:
        findings.append(f"{several} human genes that several mouse genes name were left out")
    of_human, of_mouse = (np.array([pair[side] for pair in pairs], int) for side in (0, 1))
    ordered = (of_mouse, of_human) if flipped else (of_human, of_mouse)
    return Shared(*ordered, flipped, tuple(findings))
