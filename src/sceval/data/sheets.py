"""The sheets that a user writes (datasets, models): read with row numbers, checked column by column."""

from __future__ import annotations

import csv
import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sceval.contract import Problem

TASKS = ("batch_integration", "cell_type_annotation")
"""Tasks that this version runs."""

KINDS = ("model", "baseline", "negative_control", "positive_control")

REGIMES = ("zero_shot", "probe", "frozen", "finetune", "scratch", "encoder_only", "decoder_only")

MATRICES = ("counts", "binary", "lognorm")

ORGANISMS = ("human", "mouse")


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
    Column("path", "File (.h5ad), or `embedded:NAME`.", required=True),
    Column("batch_key", "Column of obs with the batch."),
    Column("label_key", "Column of obs with the cell type."),
    Column("organism", "Organism.", default="human", choices=ORGANISMS),
    Column("matrix", "What the matrix holds.", default="counts", choices=MATRICES),
    Column("layer", "Layer that holds the matrix; `X` where empty."),
    Column("gene_symbol", "Column of var with gene symbols; the index where empty."),
    Column("ensembl_id", "Column of var with Ensembl ids."),
    Column("tasks", "Tasks, separated by `;`; all that apply where empty.", choices=TASKS, many=True),
    Column("query", "Dataset id whose cells are the test part of the `inter` split."),
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
    Column("weights", "Folder of the weights."),
    Column("kind", "What the row is.", default="model", choices=KINDS),
    Column("verbs", "Verbs used, separated by `;`; all of the model where empty.", many=True),
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


def _check_ids(sheet: Sheet, key: str) -> None:
    seen: dict[str, int] = {}
    for row in sheet.rows:
        name, number = row[key], row["row"]
        where = f"{sheet.path}, row {number}, column {key}"
        if name in seen:
            sheet.problems.append(Problem(where, f"{name!r}, which stands in row {seen[name]} too", "an id of its own"))
        elif name and not all(char.isalnum() or char in "_-." for char in name):
            sheet.problems.append(Problem(where, repr(name), "letters, digits, `_`, `-` and `.` only"))
        seen.setdefault(name, number)


def read_sheet(path: Path | str, columns: tuple[Column, ...], name: str | None = None) -> Sheet:
    """Read a sheet (CSV with a header) and collect everything that is wrong with it.

    Parameters
    ----------
    path
        The file.
    columns
        `DATASETS` or `MODELS`; the first is the id.
    name
        How messages call the file, where it lies under another name than the user's.

    Returns
    -------
    Rows with a further key `row`, the line number in the file (the header is line 1).
    """
    sheet = Sheet(name or str(path))
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            header = list(reader.fieldnames or [])
            records = [(reader.line_num, record) for record in reader]
    except FileNotFoundError:
        sheet.problems.append(Problem(sheet.path, "no such file", "a CSV sheet"))
        return sheet
    except (UnicodeDecodeError, csv.Error) as error:
        sheet.problems.append(Problem(sheet.path, f"a file that cannot be read ({error})", "a CSV sheet in UTF-8"))
        return sheet
    known = [column.name for column in columns]
    for title in header:
        if title not in known:
            expected = f"one of {', '.join(known)}{nearest(title, known)}"
            sheet.problems.append(Problem(f"{sheet.path}, row 1", f"column {title!r}", expected))
    for column in columns:
        if column.required and column.name not in header:
            sheet.problems.append(Problem(f"{sheet.path}, row 1", f"no column {column.name!r}", column.help))
    for number, record in records:
        row: dict[str, Any] = {"row": number}
        for column in columns:
            text = (record.get(column.name) or "").strip() or column.default
            row[column.name] = _check_cell(sheet, number, column, text)
        sheet.rows.append(row)
    if not sheet.rows and not sheet.problems:
        sheet.problems.append(Problem(sheet.path, "no row below the header", "at least one row"))
    _check_ids(sheet, columns[0].name)
    return sheet


def read_datasets(path: Path | str, name: str | None = None) -> Sheet:
    """Read the datasets sheet; see `read_sheet`."""
    sheet = read_sheet(path, DATASETS, name)
    ids = [row["dataset"] for row in sheet.rows]
    for row in sheet.rows:
        if row["query"] and row["query"] not in ids:
            where = f"{sheet.path}, row {row['row']}, column query"
            expected = f"the id of another row ({', '.join(ids)}){nearest(row['query'], ids)}"
            sheet.problems.append(Problem(where, repr(row["query"]), expected))
    return sheet


def read_models(path: Path | str, name: str | None = None) -> Sheet:
    """Read the models sheet; `params` becomes a dictionary; see `read_sheet`."""
    sheet = read_sheet(path, MODELS, name)
    for row in sheet.rows:
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
