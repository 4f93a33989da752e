"""Tables of the contract: written as Parquet (exact) and CSV (for people), read and checked by their schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.contract.errors import ContractError, Problem
from sceval.contract.schema import columns, load

if TYPE_CHECKING:
    import pandas as pd

RESULTS_VERSION = 1
"""Version of the results folder as a whole, `schema` in its versions.json: one more where an older reader would err."""

_DTYPES = {"string": "string", "integer": "Int64", "number": "float64", "boolean": "boolean"}


def _dtype(spec: dict[str, Any]) -> str:
    types = spec.get("type", "string")
    return _DTYPES[types if isinstance(types, str) else types[0]]


def frame(kind: str, rows: list[dict[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """Return rows as a typed data frame with the columns of the kind, in their order; extra columns follow.

    Raises
    ------
    ContractError
        If a column is absent or a value is not of its type.
    """
    import pandas as pd

    table = pd.DataFrame(rows) if not isinstance(rows, pd.DataFrame) else rows.copy()
    if table.empty:
        table = table.reindex(columns=columns(kind))
    needed = load(kind).get("required", columns(kind))
    absent = [name for name in columns(kind) if name not in table and name in needed]
    for name in columns(kind):
        if name not in table and name not in needed:
            table[name] = None
    if absent:
        raise ContractError(
            [
                Problem(f"{kind}: column {name}", "nothing", load(kind)["properties"][name]["description"])
                for name in absent
            ]
        )
    for name, spec in load(kind)["properties"].items():
        try:
            table[name] = table[name].astype(_dtype(spec))
        except (TypeError, ValueError) as error:
            raise ContractError([Problem(f"{kind}: column {name}", str(error), str(spec["type"]))]) from error
        allowed = spec.get("enum")
        if allowed:
            bad = ~table[name].isin(allowed)
            if bad.any():
                row = int(bad.to_numpy().argmax())
                raise ContractError(
                    [Problem(f"{kind}: column {name}, row {row}", repr(table[name].iloc[row]), " or ".join(allowed))]
                )
    return table[columns(kind) + [name for name in table if name not in columns(kind)]]


def write(kind: str, folder: Path, rows: list[dict[str, Any]] | pd.DataFrame, *, csv: bool = True) -> pd.DataFrame:
    """Write `<folder>/<kind>.parquet`, and `.csv` beside it; return the typed table."""
    table = frame(kind, rows)
    for suffix in ("parquet", "csv") if csv else ("parquet",):
        path = folder / f"{kind}.{suffix}"
        part = path.with_name(f".{path.name}.part")
        try:
            if suffix == "parquet":
                table.to_parquet(part, index=False)
            else:
                table.to_csv(part, index=False)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)  # gone already where all went well
    return table


def read(kind: str, path: Path) -> pd.DataFrame:
    """Read and check a table.

    Raises
    ------
    ContractError
        If the file is absent, cannot be read, or breaks its schema.
    """
    import pandas as pd

    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:  # only an empty field is missing: a label or a dataset may well be called "NA"
            table = pd.read_csv(path, keep_default_na=False, na_values=[""], float_precision="round_trip")
    except FileNotFoundError as error:
        raise ContractError([Problem(str(path), "no such file", f"a table of kind {kind}")]) from error
    except (OSError, ValueError) as error:
        raise ContractError(
            [Problem(str(path), f"a file that cannot be read ({error})", f"a table of kind {kind}")]
        ) from error
    return frame(kind, table)
