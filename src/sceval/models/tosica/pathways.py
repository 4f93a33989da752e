"""Which genes feed which pathway token (Chen et al. 2023, Nat Commun 14:223)."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HALLMARK = Path(__file__).parent / "assets" / "hallmark.gmt.gz"
"""Gene sets that come with this package: MSigDB Hallmark 7.0 (Liberzon et al. 2015), CC BY 4.0, human symbols."""

LEAST_GENES = 5
"""A token with fewer input genes is dropped."""


class GmtError(ValueError):
    """A gene-set file that cannot be used."""


@dataclass(frozen=True)
class Pathways:
    """Genes x tokens.

    Attributes
    ----------
    mask
        0 or 1, g x P: gene i feeds token j.
    names
        Name of each token, P; the last ones are `node 0`, `node 1` ... and see every gene.
    unannotated
        How many of these there are.
    """

    mask: np.ndarray
    names: list[str]
    unannotated: int = 1


def read_gmt(path: str | Path, largest: int = 300) -> dict[str, list[str]]:
    """Read gene sets of at most `largest` names, as they stand in the file (repeated and unknown names count).

    A second set of the same name replaces the genes of the first and keeps its place.

    Parameters
    ----------
    path
        GMT file (name, description, genes, separated by tabulators), also gzipped.
    largest
        Largest set kept.

    Raises
    ------
    GmtError
        No such file, no text, or a line without the two first fields.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as handle:
            lines = [line.strip() for line in handle]
    except (OSError, UnicodeDecodeError, EOFError) as error:
        msg = f"{path}: cannot be read as gene sets ({error}); expected a GMT file: name, description, genes"
        raise GmtError(msg) from error
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) < 2:
            msg = f"{path}, line {number}: {line[:60]!r} has no tabulator; expected name, description, genes"
            raise GmtError(msg)
        if len(fields) - 2 <= largest:
            sets[fields[0]] = fields[2:]
    return sets


def build_mask(genes: Sequence[str], sets: dict[str, list[str]], *, most: int = 300, unannotated: int = 1) -> Pathways:
    """Return genes x tokens: a column for each set, then `unannotated` columns that see every gene.

    Columns with fewer than `LEAST_GENES` input genes are dropped; of the others the `most` with most genes are kept,
    in the order of the file (of equally large ones the later).

    Parameters
    ----------
    genes
        Names of the input genes; they and the sets must be spelled alike.
    sets
        From :func:`read_gmt`.
    most
        Largest number of tokens, the unannotated ones counted.
    unannotated
        Tokens without a pathway.
    """
    mask = np.zeros((len(genes), len(sets) + unannotated), np.int8)
    for column, members in enumerate(sets.values()):
        wanted = set(members)
        mask[:, column] = [gene in wanted for gene in genes]
    mask[:, len(sets) :] = 1
    names = [*sets, *(f"node {i}" for i in range(unannotated))]
    size = mask.sum(axis=0, dtype=np.int64)
    large = np.flatnonzero(size >= LEAST_GENES)
    kept = np.sort(large[np.argsort(size[large], kind="stable")[-most:]])
    return Pathways(mask[:, kept], [names[i] for i in kept], int((kept >= len(sets)).sum()))
