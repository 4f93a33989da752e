"""The sheets that a user writes (datasets, models): read with row numbers, checked column by column."""

from __future__ import annotations

import csv
import difflib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sceval.contract import Problem, load
from sceval.contract.tasks import TASKS as TASK_CARDS

TASKS = tuple(TASK_CARDS)
"""Tasks that this version runs."""

FILE_COLUMNS = ("gene_sets", "network", "second", "gene_positions", "label_map")
"""Columns of the datasets sheet that name a further file."""

KINDS = ("model", "baseline", "negative_control", "positive_control")

REGIMES = ("zero_shot", "probe", "frozen", "frozen_embeddings", "finetune", "scratch", "encoder_only", "decoder_only")

MATRICES = ("counts", "binary", "lognorm")

VERBS = tuple(load("info")["properties"]["verbs"]["items"]["enum"])

ORGANISMS = ("human", "mouse")

RESERVED_MODELS = ("oracle",)
"""Ids that the pipeline itself gives to runs."""


@dataclass(frozen=True)
class Column:
    """One column of a sheet: whether it must be filled, its default, its allowed values."""

    name: str
    help: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    many: bool = False


DATASETS = (
    Column("dataset", "Id: letters, digits, `_`, `-`, `.`.", required=True),
    Column("path", "File (.h5ad, or .h5mu with RNA and one other), or `embedded:NAME`.", required=True),
    Column("batch_key", "Column of obs with the batch."),
    Column("label_key", "Column of obs with the cell type."),
    Column("organism", "Organism.", default="human", choices=ORGANISMS),
    Column("matrix", "What the matrix holds.", default="counts", choices=MATRICES),
    Column("layer", "Layer that holds the matrix; `X` where empty."),
    Column("gene_symbol", "Column of var with gene symbols; the index where empty."),
    Column("ensembl_id", "Column of var with Ensembl ids."),
    Column("perturbation_key", "Column of obs with the perturbation, perturbed genes joined by `+`."),
    Column("control", "Name of the control in that column.", default="control"),
    Column("context_key", "Column of obs with the cell type or line in which a perturbation was done."),
    Column("gene_sets", "File of gene classes (TSV `gene`, `class`, perhaps `family`; or GMT), or `embedded:NAME`."),
    Column("network", "File of true edges (TSV `source`, `target`), or `embedded:NAME`."),
    Column("second", "File (.h5ad) of the second modality: peaks or proteins of these cells, or of others."),
    Column("proteins", "Key of obsm with protein counts: a data frame, or a matrix with names in `uns/KEY_names`."),
    Column("gene_positions", "File of gene positions (TSV `chrom`, `start`, `end`, `strand`, `symbol`), for peaks."),
    Column("label_map", "File of labels (TSV `from`, `to`) that brings the labels to the names of another dataset."),
    Column("tasks", "Tasks, separated by `;`; all that apply where empty.", choices=TASKS, many=True),
    Column("query", "Dataset id: its cells are the test part of `inter`, its spots are imputed in `spatial`."),
    Column("title", "Name for people."),
    Column("source", "Where the data comes from."),
    Column("licence", "Licence of the data."),
    Column("semi_synthetic", "`yes` where a part was planted.", default="no", choices=("yes", "no")),
    Column("family", "Datasets of one family differ in `strength` alone."),
    Column("strength", "Strength of the planted effect."),
    Column("notes", "Anything a reader should know."),
)

MODELS = (
    Column("model", "Id: letters, digits, `_`, `-`, `.`.", required=True),
    Column("image", "Docker image with `sceval-model` on its PATH.", required=True),
    Column("program", "Command that does the same without a container (profile `venv`)."),
    Column("params", "Hyper-parameters as JSON, for every run of this row.", default="{}"),
    Column("regimes", "Regimes, separated by `;`; all of the model where empty.", choices=REGIMES, many=True),
    Column("weights", "Folder of the weights, or a name of the weights catalogue (`assets/weights.csv`)."),
    Column("kind", "What the row is.", default="model", choices=KINDS),
    Column("verbs", "Verbs used, separated by `;`; all of the model where empty.", choices=VERBS, many=True),
    Column("deterministic", "`yes` where the seed changes nothing: it runs once.", default="no", choices=("yes", "no")),
)


@dataclass
class Sheet:
    """The rows of a sheet, each a dictionary of text, and what is wrong with them."""

    path: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `; did you mean 'x'?` with the nearest known word, or nothing where none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _check_cell(sheet: Sheet, number: int, column: Column, text: str) -> str | list[str]:
    where = f"{sheet.path}, row {number}, column {column.name}"
    values = [part.strip() for part in text.split(";") if part.strip()] if column.many else [text]
    if column.required and not text:
        sheet.problems.append(Problem(where, "nothing", column.help))
    for value in values:
        if column.choices and value and value not in column.choices:
            hint = nearest(value, column.choices)
            sheet.problems.append(Problem(where, repr(value), f"one of {', '.join(column.choices)}{hint}"))
    return values if column.many else text


def file_name(text: str) -> str:
    """Return a text as it stands in run ids and names of folders: only ASCII letters, digits, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


def _check_ids(sheet: Sheet, key: str) -> None:
    seen: dict[str, dict[str, Any]] = {}
    for row in sheet.rows:
        name = row[key]
        where = f"{sheet.path}, row {row['row']}, column {key}"
        first = seen.setdefault(file_name(name), row)
        if not re.fullmatch(r"[A-Za-z0-9_.-]*", name):
            sheet.problems.append(Problem(where, repr(name), "letters, digits, `_`, `-` and `.` only"))
        elif name and first is not row and first[key] == name:
            found = f"{name!r}, which stands in row {first['row']} too"
            sheet.problems.append(Problem(where, found, "an id of its own"))
        elif name and first is not row:
            found = f"{name!r}, which makes the same folder name as {first[key]!r} in row {first['row']}"
            sheet.problems.append(Problem(where, found, "ids that differ in more than `.` and `-`"))


def _check_header(sheet: Sheet, header: list[str], columns: tuple[Column, ...]) -> None:
    known = [column.name for column in columns]
    where = f"{sheet.path}, row 1"
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        separator = "semicolons" if ";" in header[0] else "tabs"
        sheet.problems.append(Problem(where, f"columns separated by {separator}", "columns separated by commas"))
        return
    for title in dict.fromkeys(header):
        if title not in known:
            expected = f"one of {', '.join(known)}{nearest(title, known)}"
            sheet.problems.append(Problem(where, f"column {title!r}", expected))
        elif header.count(title) > 1:
            sheet.problems.append(Problem(where, f"column {title!r} {header.count(title)} times", "each column once"))
    for column in columns:
        if column.required and column.name not in header:
            sheet.problems.append(Problem(where, f"no column {column.name!r}", column.help))


def read_sheet(path: Path | str, columns: tuple[Column, ...], name: str | None = None, *, unique: bool = True) -> Sheet:
    """Read a sheet (CSV with a header) and collect everything that is wrong with it.

    Parameters
    ----------
    path
        The file.
    columns
        `DATASETS` or `MODELS`; the first is the id.
    name
        How messages call the file, where it lies under another name than the user's.
    unique
        Whether the first column is an id that stands once.

    Returns
    -------
    Rows with a further key `row`, the line number in the file (the header is line 1).
    """
    sheet = Sheet(name or str(path))
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            header = [title.strip() for title in reader.fieldnames or []]
            reader.fieldnames = header
            records = [(reader.line_num, record) for record in reader]
    except FileNotFoundError:
        sheet.problems.append(Problem(sheet.path, "no such file", "a CSV sheet"))
        return sheet
    except (UnicodeDecodeError, csv.Error) as error:
        sheet.problems.append(Problem(sheet.path, f"a file that cannot be read ({error})", "a CSV sheet in UTF-8"))
        return sheet
    _check_header(sheet, header, columns)
    if any(column.required and column.name not in header for column in columns):
        return sheet  # every row would only repeat it
    for number, record in records:
        if not any(record.values()):
            continue  # a line of commas alone, as spreadsheets leave them at the end
        if None in record:
            found = f"{len(header) + len(record[None])} fields under {len(header)} columns"
            expected = "one field for each column, with quotes around a text that holds commas"
            sheet.problems.append(Problem(f"{sheet.path}, row {number}", found, expected))
            continue  # its fields stand under the wrong columns
        row: dict[str, Any] = {"row": number}
        for column in columns:
            text = (record.get(column.name) or "").strip() or column.default
            row[column.name] = _check_cell(sheet, number, column, text)
        sheet.rows.append(row)
    if not sheet.rows and not sheet.problems:
        sheet.problems.append(Problem(sheet.path, "no row below the header", "at least one row"))
    if unique:
        _check_ids(sheet, columns[0].name)
    return sheet


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) < float("inf")
    except ValueError:
        return False


def read_datasets(path: Path | str, name: str | None = None) -> Sheet:
    """Read the datasets sheet; see `read_sheet`."""
    sheet = read_sheet(path, DATASETS, name)
    ids = [row["dataset"] for row in sheet.rows]
    for row in sheet.rows:
        if row["query"] and row["query"] not in ids:
            where = f"{sheet.path}, row {row['row']}, column query"
            expected = f"the id of another row ({', '.join(ids)}){nearest(row['query'], ids)}"
            sheet.problems.append(Problem(where, repr(row["query"]), expected))
        elif row["query"] and row["query"] == row["dataset"]:
            where = f"{sheet.path}, row {row['row']}, column query"
            sheet.problems.append(Problem(where, f"{row['query']!r}, the dataset itself", "the id of another row"))
        if row["strength"] and not _is_number(row["strength"]):
            where = f"{sheet.path}, row {row['row']}, column strength"
            sheet.problems.append(Problem(where, repr(row["strength"]), "a number of 0 and more, or nothing"))
    return sheet


def read_models(path: Path | str, name: str | None = None) -> Sheet:
    """Read the models sheet; `params` becomes a dictionary; see `read_sheet`."""
    sheet = read_sheet(path, MODELS, name)
    for row in sheet.rows:
        if row["model"] in RESERVED_MODELS:
            where = f"{sheet.path}, row {row['row']}, column model"
            expected = "another id: this one belongs to the positive control"
            sheet.problems.append(Problem(where, repr(row["model"]), expected))
        where = f"{sheet.path}, row {row['row']}, column params"
        try:
            params = json.loads(row["params"])
        except json.JSONDecodeError as error:
            sheet.problems.append(Problem(where, f"text that is not JSON ({error})", 'for example {"epochs": 5}'))
            params = {}
        if not isinstance(params, dict):
            sheet.problems.append(Problem(where, repr(params), "a JSON object"))
            params = {}
        row["params"] = params
    return sheet
