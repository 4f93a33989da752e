"""Labels of a dataset brought to the names of another: column `label_map` of the datasets sheet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile, Problem


def read_label_map(path: Path) -> dict[str, str | None]:
    """Read a TSV with the columns `from` and `to`: label of the file -> its new name, None where `to` is empty.

    Raises
    ------
    ValueError
        If a column is absent, a label stands twice, or there is no row.
    """
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle, delimiter="\t")
        header = [name.strip() for name in reader.fieldnames or []]
        if "from" not in header or "to" not in header:
            msg = f"columns {', '.join(header) or 'none'}; a tab-separated header with from, to is needed"
            raise ValueError(msg)
        reader.fieldnames = header
        pairs = [((row["from"] or "").strip(), (row["to"] or "").strip()) for row in reader]
    names = [old for old, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"label {twice!r} twice in the column from"
        raise ValueError(msg)
    if not pairs:
        msg = "no row below the header"
        raise ValueError(msg)
    return {old: new or None for old, new in pairs}


def apply_label_map(row: dict[str, Any], data: CellFile, files: dict[str, Path], place: str) -> list[Problem]:
    """Rename the labels of a dataset as its row says, and return what is wrong.

    A label that the map does not name keeps its name; one with an empty `to` becomes missing.
    """
    if not row.get("label_map"):
        return []
    where, path = f"{place}, column label_map", files.get("label_map")
    if "cell_type" not in data.obs:
        return [Problem(where, "a map of labels in a row without label_key", "a label_key")]
    try:
        if path is None or not path.is_file():
            msg = "no such file"
            raise ValueError(msg)
        names = read_label_map(path)
    except (OSError, ValueError) as error:
        return [Problem(where, f"{row['label_map']}: {error}", "a tab-separated file with the columns from, to")]
    labels = data.obs["cell_type"]
    known = {label for label in labels if label is not None}
    if not known & set(names):
        found = f"{row['label_map']}, which names none of the labels of the dataset ({', '.join(sorted(known)[:5])})"
        return [Problem(where, found, "labels of this dataset in the column from")]
    data.obs["cell_type"] = np.array([names.get(label, label) for label in labels], object)
    return []
