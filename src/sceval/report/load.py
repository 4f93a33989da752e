"""Read a results folder; what is missing or broken is named, the rest is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sceval.contract import tables
from sceval.contract.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

TABLES = {
    "scores": ".parquet",
    "summary": ".parquet",
    "runs": ".parquet",
    "plan": ".csv",
    "differences": ".parquet",
    "findings": ".parquet",
    "layout": ".parquet",
    "confusion": ".parquet",
    "per_class": ".parquet",
}
"""Tables that the report reads, and the suffix of each. Of two forms the Parquet is read: it keeps the types."""


READABLE = (tables.RESULTS_VERSION,)
"""Versions of the results folder that can be reported."""
UNSAID = 1
"""Version of the folders from before it was written down."""


@dataclass(frozen=True)
class Gap:
    """A file that could not be used.

    Attributes
    ----------
    file
        Its name.
    state
        `missing`, `unreadable`, or `ambiguous` where several folders say different things.
    message
        What was found there.
    """

    file: str
    state: str
    message: str


@dataclass(frozen=True)
class Results:
    """What a results folder holds.

    Attributes
    ----------
    tables
        One typed frame for each kind in `TABLES`; empty where the file is missing or unreadable.
    datasets
        Dataset cards, as in `datasets.json`.
    versions
        Versions and provenance, as in `versions.json`.
    gaps
        Files that could not be used.
    """

    tables: dict[str, pd.DataFrame]
    datasets: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def gap(self, *kinds: str) -> list[Gap]:
        """Return the gaps that concern these tables or files."""
        return [gap for gap in self.gaps if gap.file.split(".")[0] in kinds]

    def __getitem__(self, kind: str) -> pd.DataFrame:
        return self.tables[kind]


def load(results_dir: Path) -> Results:
    """Read every table of a results folder.

    Parameters
    ----------
    results_dir
        Folder with the tables of `TABLES`, `datasets.json` and `versions.json`.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or holds neither runs, plan nor scores, so that there is nothing to report.
    ValueError
        If the folder says that it is of a schema version that this report does not know.
    """
    if not results_dir.is_dir():
        msg = f"no results folder {results_dir}"
        raise FileNotFoundError(msg)
    gaps: list[Gap] = []
    versions = _json(results_dir / "versions.json", dict, gaps)
    schema = versions.get("schema", UNSAID)
    if schema not in READABLE:
        known = " or ".join(map(str, READABLE))
        msg = (
            f"{results_dir} is of schema version {schema!r} (versions.json); this sceval reads {known}: report it with "
            f"the sceval that made it ({versions.get('sceval', 'not named')}), or run the pipeline again"
        )
        raise ValueError(msg)
    found = {kind: _table(results_dir, kind, suffix, gaps) for kind, suffix in TABLES.items()}
    if {"runs", "plan", "scores", "summary"} <= {gap.file.split(".")[0] for gap in gaps if gap.state == "missing"}:
        msg = f"{results_dir} holds no runs, plan, scores or summary table: is it the results folder of a run?"
        raise FileNotFoundError(msg)
    datasets = _json(results_dir / "datasets.json", list, gaps)
    return Results(found, [row for row in datasets if isinstance(row, dict) and row.get("dataset")], versions, gaps)


def _table(folder: Path, kind: str, suffix: str, gaps: list[Gap]) -> pd.DataFrame:
    paths = [folder / f"{kind}{end}" for end in (".parquet", ".csv")]
    present = [path for path in paths if path.is_file()]
    if not present:
        gaps.append(Gap(f"{kind}{suffix}", "missing", "no such file in the results folder"))
    for path in present[:1]:
        try:
            return tables.read(kind, path)
        except ContractError as error:
            message = "; ".join(str(problem) for problem in error.problems).replace(str(path), path.name)
            gaps.append(Gap(path.name, "unreadable", message))
    return tables.frame(kind, [])


def _json(path: Path, shape: type, gaps: list[Gap]) -> Any:
    if not path.is_file():
        gaps.append(Gap(path.name, "missing", "no such file in the results folder"))
        return shape()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        gaps.append(Gap(path.name, "unreadable", f"not JSON ({error})"))
        return shape()
    if not isinstance(content, shape):
        gaps.append(Gap(path.name, "unreadable", f"found a {type(content).__name__}; expected a {shape.__name__}"))
        return shape()
    return content
