"""Published datasets: a catalogue, and from an entry of it to an AnnData file and its row of a datasets sheet."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sceval.contract import ContractError, Problem
from sceval.data.catalogue import Entry, fetch_entry, read_catalogue
from sceval.data.fetch import FetchError
from sceval.data.sheets import DATASETS, ORGANISMS, TASKS, Column, nearest

CONVERSIONS = ("h5ad", "10x", "csv", "by_hand")

COLUMNS = (
    Column("dataset", "Name of the entry: letters, digits, `_`, `-`, `.`.", required=True),
    Column("title", "Name for people.", required=True),
    Column("source", "Who publishes it, and where.", required=True),
    Column("accession", "Accessions of the data, separated by `;`."),
    Column("revision", "Revision of the source."),
    Column("file", "Name of the file.", required=True),
    Column("url", "Address of the file; empty where it can only be fetched by hand."),
    Column("sha256", "SHA-256 of the file; empty where nobody has verified it."),
    Column("bytes", "Size of the file."),
    Column("content", "What identifies the counts after conversion: cells x genes:total:digest of the margins."),
    Column("licence", "Licence of the data.", required=True),
    Column("organism", "Organism.", default="human", choices=ORGANISMS),
    Column("tasks", "Tasks, separated by `;`."),
    Column("keys", "Columns of the datasets sheet as `name=value`, separated by `;`."),
    Column("sample", "Value of obs `sample` for the cells of this file."),
    Column("group", "Groups, separated by `;`.", many=True),
    Column("conversion", "How the files become AnnData.", required=True, choices=CONVERSIONS),
    Column("notes", "Size, and anything else a user should know."),
)
"""Columns of the catalogue of datasets."""


def keys_of(entry: Entry) -> dict[str, str]:
    """Return the columns of the datasets sheet that an entry names."""
    pairs = [word.partition("=") for word in entry.row["keys"].split(";") if word]
    return {name.strip(): value.strip() for name, _, value in pairs}


def state(entry: Entry) -> str:
    """Return how an entry is checked: `verified`, `by its counts`, `unverified`, `by hand` and mixtures."""
    found = entry.state()
    return "by its counts" if entry.row["content"] and found == "unverified" else found


def read_published(path: Path | str) -> dict[str, Entry]:
    """Read the catalogue of datasets.

    Raises
    ------
    ContractError
        With every problem; see `read_catalogue`.
    """
    entries = read_catalogue(path, COLUMNS)
    known = [column.name for column in DATASETS]
    problems = []
    for entry in entries.values():
        for name in keys_of(entry):
            if name not in known:
                where = f"{path}, row {entry.row['row']}, column keys"
                problems.append(Problem(where, repr(name), f"one of {', '.join(known)}{nearest(name, known)}"))
        if (entry.row["conversion"] == "by_hand") != bool(entry.by_hand):
            where = f"{path}, row {entry.row['row']}, column conversion"
            found = f"{entry.row['conversion']!r} with {'no' if entry.by_hand else 'an'} address"
            problems.append(Problem(where, found, "by_hand exactly where a file has no address"))
    if problems:
        raise ContractError(problems)
    return entries


def sheet_row(entry: Entry, path: str) -> dict[str, str]:
    """Return the row of a datasets sheet for an entry whose file lies at a path."""
    row, keys = entry.row, keys_of(entry)
    # A task that a row asks for is an error where the labels are missing; without labels the row asks for none.
    tasks = [
        task for task in row["tasks"].split(";") if task in TASKS and {"label_key", "perturbation_key"} & set(keys)
    ]
    texts = {name: row[name] for name in ("title", "licence", "organism")}
    texts |= {"source": f"{row['source']} {row['accession']}".strip(), "notes": row["notes"]}
    return {"dataset": entry.name, "path": path, "tasks": ";".join(tasks)} | texts | keys


def absent_keys(path: Path, row: dict[str, str]) -> dict[str, str]:
    """Return the columns of a sheet row that name nothing in the file: column -> what is there instead."""
    import h5py

    slots = {"batch_key": "obs", "label_key": "obs", "perturbation_key": "obs", "context_key": "obs"}
    slots |= {"gene_symbol": "var", "ensembl_id": "var", "layer": "layers"}
    absent = {}
    with h5py.File(path, "r") as handle:
        for column, slot in slots.items():
            place = handle.get(slot)
            names = [] if place is None else place.dtype.names if isinstance(place, h5py.Dataset) else list(place)
            if row.get(column) and row[column] not in names:
                absent[column] = f"{slot}: {', '.join(name for name in names if not name.startswith('_')) or 'nothing'}"
    return absent


def put_row(sheet: Path, row: dict[str, str]) -> None:
    """Add a row to a datasets sheet, or replace that of the same dataset; the sheet appears whole or not at all."""
    rows: list[dict[str, str]] = []
    names = ["dataset", "path"]
    if sheet.is_file():
        with sheet.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            names = list(reader.fieldnames or names)
            rows = [kept for kept in reader if kept.get("dataset") != row["dataset"]]
    order = [column.name for column in DATASETS]
    names += [name for name in order if row.get(name) and name not in names]
    part = sheet.with_name(f".{sheet.name}.part")
    with part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, names, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*rows, row])
    part.replace(sheet)


def fetch_dataset(
    entry: Entry,
    folder: Path,
    *,
    allow_unverified: bool = False,
    say: Callable[[str], None] = lambda _line: None,
    **options: Any,
) -> Path:
    """Fetch an entry, convert it, and write its row into the sheet of the folder.

    Parameters
    ----------
    entry
        Of `read_published`.
    folder
        Gets `<dataset>.h5ad`, `datasets.csv`, and the fetched files in `sources/<dataset>`.
    allow_unverified
        Take files whose digest is not known. Not needed where the counts themselves are checked.
    say
        Gets lines about progress.
    options
        Further options of `fetch`.

    Returns
    -------
    The AnnData file.

    Raises
    ------
    FetchError
        If a file cannot be had or is not the right one.
    ConversionError
        If it is not of its form, or its counts are others than the catalogue says.
    """
    from sceval.data.convert import ConversionError, Part, convert

    checked = bool(entry.row["content"])
    fetched = fetch_entry(entry, folder / "sources", allow_unverified=allow_unverified or checked, say=say, **options)
    target = folder / f"{entry.name}.h5ad"
    parts = [Part(one.path, sample) for one, sample in zip(fetched, entry.samples, strict=True)]
    say(f"{entry.name}: converting ({entry.row['conversion']})")
    try:
        convert(entry.row["conversion"], parts, target, entry.row["content"])
    except ConversionError as error:
        raise FetchError(str(error)) from error
    row = sheet_row(entry, target.name)
    for column, there in absent_keys(target, row).items():
        say(f"{entry.name}: the file has no {row.pop(column)!r} for {column} ({there}); the row is written without it")
    put_row(folder / "datasets.csv", row)
    return target
