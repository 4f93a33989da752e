"""Gene activity: counts of the peaks at a gene, from the names of peaks and a table of gene positions."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import numpy as np
from scipy import sparse

UPSTREAM = 2000
"""Bases before the start of a gene that count as its promoter (rule `body`)."""

AROUND_START = 5000
"""Bases on both sides of the start of a gene (rule `start`)."""

RULES = ("body", "start")

COLUMNS = ("chrom", "start", "end", "strand", "symbol")

_PEAK = re.compile(r"^(?:chr)?([A-Za-z0-9.]{1,30})[:_-](\d+)[-_](\d+)$")


def parse_peaks(names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return chromosome (without `chr`), start and end of each peak, and whether its name could be read.

    Names such as `chr1:100-200`, `1-100-200` and `chr1_100_200`.
    """
    chrom = np.full(len(names), "", object)
    start, end = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    for row, name in enumerate(names):
        found = _PEAK.match(str(name))
        if found:
            chrom[row], start[row], end[row] = found[1], int(found[2]), int(found[3])
    return chrom, start, end, end > start


def read_positions(path: Path) -> dict[str, np.ndarray]:
    """Read gene positions: a TSV, perhaps gzipped, with `chrom`, `start`, `end`, `strand`, `symbol` (and `ensembl_id`).

    Starts are 0-based; the gene starts at `start` on the strand + and at `end` on -.

    Raises
    ------
    ValueError
        If a column is absent or a position is no whole number; the message says what was found.
    """
    raw = path.read_bytes()
    rows = list(
        csv.reader((gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode().splitlines(), delimiter="\t")
    )
    header = [name.strip().lower() for name in rows[0]] if rows else []
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        msg = f"columns {', '.join(header[:8]) or 'none'}; a tab-separated header with {', '.join(COLUMNS)} is needed"
        raise ValueError(msg)
    wanted = [*COLUMNS, *(["ensembl_id"] if "ensembl_id" in header else [])]
    short = next((number for number, row in enumerate(rows[1:], 2) if len(row) < len(header)), None)
    if short:
        msg = f"row {short} with {len(rows[short - 1])} fields under {len(header)} columns"
        raise ValueError(msg)
    table = {name: np.array([row[header.index(name)].strip() for row in rows[1:]], object) for name in wanted}
    for name in ("start", "end"):
        try:
            table[name] = table[name].astype(np.int64)
        except ValueError as error:
            msg = f"column {name} with a value that is no whole number ({error})"
            raise ValueError(msg) from error
    return table


def regions(positions: dict[str, np.ndarray], rule: str = "body") -> tuple[np.ndarray, np.ndarray]:
    """Return start and end (0-based, half open) of the region of each row of the table.

    `body`: the gene and the 2 kb before its start, by strand (the default of Signac's and ArchR's simplest models:
    Stuart et al. 2021, Nat Methods 18:1333). `start`: 5 kb on both sides of its start.

    Raises
    ------
    ValueError
        For another rule.
    """
    forward = positions["strand"] != "-"
    if rule == "body":
        low = positions["start"] - np.where(forward, UPSTREAM, 0)
        high = positions["end"] + np.where(forward, 0, UPSTREAM)
    elif rule == "start":
        begin = np.where(forward, positions["start"], positions["end"])
        low, high = begin - AROUND_START, begin + AROUND_START
    else:
        msg = f"rule {rule!r}; it must be one of {', '.join(RULES)}"
        raise ValueError(msg)
    return np.maximum(low, 0), high


def peak_map(
    peaks: np.ndarray,
    positions: dict[str, np.ndarray],
    genes: dict[str, np.ndarray],
    rule: str = "body",
) -> sparse.csr_matrix:
    """Return which peaks lie at which genes, p x g with ones.

    A peak counts for each gene whose region it overlaps by at least one base.

    Parameters
    ----------
    peaks
        Names of the peaks (p); those that cannot be read are at no gene.
    positions
        Table of `read_positions`; a gene with several rows has all their regions.
    genes
        `ids`, `symbols` and `ensembl` of the genes (g): a row of the table belongs to a gene by its Ensembl id where
        both have one, else by symbol or id.
    rule
        See `regions`.
    """
    chrom, start, end, readable = parse_peaks(peaks)
    low, high = regions(positions, rule)
    place: dict[str, int] = {}
    for names in (genes["ids"], genes["symbols"], genes["ensembl"]):
        for column, name in enumerate(names):
            if name:
                place.setdefault(str(name), column)
    by_chrom: dict[str, np.ndarray] = {}
    for name in np.unique(chrom[readable].astype(str)):
        rows = np.flatnonzero(readable & (chrom == name))
        by_chrom[name] = rows[np.argsort(start[rows], kind="stable")]
    widest = {name: int((end[rows] - start[rows]).max()) for name, rows in by_chrom.items()}
    found_peaks, found_genes = [], []
    ensembl = positions.get("ensembl_id", np.full(len(low), "", object))
    for row, (symbol, other) in enumerate(zip(positions["symbol"], ensembl, strict=True)):
        column = place.get(str(other).split(".")[0]) if other else None
        column = place.get(str(symbol)) if column is None else column
        name = str(positions["chrom"][row]).removeprefix("chr")
        if column is None or name not in by_chrom:
            continue
        here = by_chrom[name]
        first, last = np.searchsorted(start[here], [low[row] - widest[name], high[row]])
        near = here[first:last]
        near = near[end[near] > low[row]]
        found_peaks.append(near)
        found_genes.append(np.full(len(near), column))
    rows = np.concatenate([*found_peaks, np.empty(0, np.int64)]).astype(np.int64)
    columns = np.concatenate([*found_genes, np.empty(0, np.int64)]).astype(np.int64)
    out = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (len(peaks), len(genes["ids"])))
    out.data[:] = 1.0  # rows of one gene whose regions share a peak
    return out
