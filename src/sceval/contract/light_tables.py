"""Tables that model programs write: checked and written with pyarrow alone, because pandas takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract.errors import ContractError, Problem
from sceval.contract.schema import load


def table_problems(kind: str, columns: dict[str, Any], where: str) -> list[Problem]:
    """Return what is wrong with the columns of a table: absent ones, text for numbers, missing or doubled keys."""
    schema = load(kind)
    problems = []
    for name, spec in schema["properties"].items():
        if name not in columns:
            if name not in schema["required"]:
                continue
            problems.append(Problem(f"{where}: column {name}", "nothing", spec["description"]))
            continue
        values = np.asarray(columns[name])
        if spec["type"] == "number":
            bad = values.dtype.kind not in "fiu"
            if bad or not np.isfinite(values.astype(float)).all():
                found = f"values of type {values.dtype}" if bad else "values that are NaN or infinite"
                problems.append(Problem(f"{where}: column {name}", found, "finite numbers"))
        elif any(not isinstance(value, str) for value in values.tolist()):
            problems.append(Problem(f"{where}: column {name}", "values that are not text", "text in each row"))
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        problems.append(Problem(where, f"columns of lengths {lengths}", "one length"))
    elif not problems:
        key = [name for name in schema["key"] if name in columns]
        keys = list(zip(*(np.asarray(columns[name]).tolist() for name in key), strict=True))
        if len(set(keys)) < len(keys):
            seen: set[tuple] = set()
            row = next(i for i, key in enumerate(keys) if key in seen or seen.add(key))
            found = f"{' and '.join(map(repr, keys[row]))} a second time, in row {row}"
            problems.append(Problem(where, found, f"each {' and '.join(key)} once"))
    return problems


def _array(values: list[Any]) -> np.ndarray:
    numbers = all(isinstance(value, int | float) for value in values)
    return np.array(values, float if numbers else object)


def write_table(kind: str, path: Path, columns: dict[str, Any]) -> None:
    """Check and write a table as Parquet; it appears whole or not at all.

    Raises
    ------
    ContractError
        With every problem of the content; nothing is written then.
    """
    import pyarrow as pa
    from pyarrow import parquet

    problems = table_problems(kind, columns, str(path))
    if problems:
        raise ContractError(problems)
    part = path.with_name(f".{path.name}.part")
    try:
        arrays = {name: pa.array(np.asarray(values).tolist()) for name, values in columns.items()}
        parquet.write_table(pa.table(arrays), part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_table(kind: str, path: Path) -> dict[str, np.ndarray]:
    """Read and check a table as arrays by column.

    Raises
    ------
    ContractError
        If the file is absent, is no Parquet file, or breaks its schema.
    """
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path)
    except FileNotFoundError as error:
        raise ContractError([Problem(str(path), "no such file", f"a table of kind {kind}")]) from error
    except (OSError, ArrowException) as error:
        found = f"a file that cannot be read ({error})"
        raise ContractError([Problem(str(path), found, f"a Parquet table of kind {kind}")]) from error
    columns = {name: _array(table[name].to_pylist()) for name in table.column_names}
    problems = table_problems(kind, columns, str(path))
    if problems:
        raise ContractError(problems)
    return columns
