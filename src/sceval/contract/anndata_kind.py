"""Reader, writer and checker of the AnnData file kinds, driven by their schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract import h5ad
from sceval.contract.checks import CHECKS, Finding
from sceval.contract.errors import ContractError, Problem
from sceval.contract.h5ad import CellFile
from sceval.contract.rows import CsrRows
from sceval.contract.schema import SCHEMA_VERSION, load


def _slot(cells: CellFile, name: str) -> Any:
    """Return the value of a slot such as `obsm/X_emb`, or None."""
    if name == "obs":
        return cells.obs_names
    if name == "var":
        return cells.var_names
    if name == "X":
        return cells.X
    value: Any = getattr(cells, name.split("/", 1)[0])
    for part in name.split("/")[1:]:
        value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


def _wrong_type(value: Any, slot: dict[str, Any]) -> str | None:
    expected = slot["type"]
    if expected == "csr":
        ok = (sparse.issparse(value) or isinstance(value, CsrRows)) and value.dtype.kind in "fiu"
        return None if ok else f"{type(value).__name__}"
    if expected == "dense":
        ok = isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu"
        if ok and slot.get("dtype") and value.dtype != np.dtype(slot["dtype"]):
            return f"numbers of type {value.dtype}"
        return None if ok else f"{type(value).__name__} of shape {getattr(value, 'shape', '?')}"
    if expected == "number":
        return None if np.asarray(value).dtype.kind in "fiub" else "text"
    if expected == "string":
        ok = isinstance(value, str) or np.asarray(value).dtype.kind in "OU"
        return None if ok else f"numbers of type {np.asarray(value).dtype}"
    return None


def _check_slot(where: str, cells: CellFile, slot: dict[str, Any]) -> list[Problem]:
    value = _slot(cells, slot["slot"])
    if value is None:
        return [Problem(where, "nothing", slot["description"])] if slot["required"] else []
    if slot["type"] == "index":
        names, first = np.unique(value.astype(str), return_index=True)
        if len(names) < len(value):
            seen = np.ones(len(value), bool)
            seen[first] = False
            row = int(np.argmax(seen))
            return [
                Problem(
                    where,
                    f"id {value[row]!r} a second time in row {row}, {int(seen.sum())} repeated in all",
                    "unique ids",
                )
            ]
        return [] if len(value) or not slot["required"] else [Problem(where, "no entry", "at least one")]
    wrong = _wrong_type(value, slot)
    if wrong:
        return [Problem(where, wrong, f"{slot['type']} {slot.get('dtype', '')}".strip())]
    problems = []
    if (
        slot["type"] == "string"
        and not isinstance(value, str)
        and slot["slot"].startswith("obs/")
        and not slot.get("missing")
    ):
        empty = np.array([item is None for item in value], bool)
        if empty.any():
            problems.append(
                Problem(
                    f"{where}, row {int(np.argmax(empty))}", f"{int(empty.sum())} missing values", "a value in each row"
                )
            )
    if slot.get("columns"):
        names = _slot(cells, slot["columns"])
        n_names = 0 if names is None else len(names)
        if n_names != value.shape[1]:
            found = f"{value.shape[1]} columns and {n_names} names in {slot['columns']}"
            problems.append(Problem(where, found, "one name for each column"))
    allowed = slot.get("values")
    if allowed:
        found = sorted(
            {item for item in ([value] if isinstance(value, str) else value) if item is not None} - set(allowed)
        )
        if found:
            problems.append(Problem(where, f"{found[0]!r}", " or ".join(f"`{item}`" for item in allowed)))
    for name in slot.get("checks", []):
        if name == "counts" and _slot(cells, "uns/sceval/matrix") == "lognorm":
            continue
        finding = _find(name, value)
        if finding:
            problems.append(Problem(where, *finding))
            break  # one message for one slot: a NaN would fail the next checks too
    return problems


def _find(name: str, value: Any) -> Finding:
    """Return what a check finds; in rows that stay in the file, what it finds in the first block that has any."""
    if not isinstance(value, CsrRows):
        return CHECKS[name](value)
    for start, block in value.blocks():
        finding = CHECKS[name](block, first_row=start)
        if finding:
            return f"{finding[0]} (later rows than {start + block.shape[0] - 1} were not looked at)", finding[1]
    return None


def _check_shapes(cells: CellFile, path: Path | str) -> list[Problem]:
    """Every element must have one row for each id; a transposed matrix is named as such."""
    n, g = cells.n_obs, cells.n_vars
    wanted: list[tuple[str, Any, tuple[int, ...]]] = [("X", cells.X, (n, g))] if cells.X is not None else []
    for slot, shape in (("layers", (n, g)), ("obsm", (n,)), ("obsp", (n, n)), ("obs", (n,)), ("var", (g,))):
        wanted += [(f"{slot}/{name}", value, shape) for name, value in getattr(cells, slot).items()]
    problems = []
    for slot, value, shape in wanted:
        found = getattr(value, "shape", None)
        if found is None or found[: len(shape)] == shape:
            continue
        turned = len(found) > 1 and found[1] == n and found[0] != n
        size = " x ".join(map(str, found))
        hint = f"{size} (transposed?)" if turned else size
        expected = f"{n} cells x {g} genes" if slot == "X" or slot.startswith("layers/") else f"{shape[0]} rows"
        problems.append(Problem(f"{path}: {slot}", hint, expected))
    return problems


def check_cells(kind: str, cells: CellFile, path: Path | str) -> list[Problem]:
    """Return every problem of a file that is already in memory; `path` only names it."""
    problems = _check_shapes(cells, path)
    for slot in load(kind)["slots"]:
        problems += _check_slot(f"{path}: {slot['slot']}", cells, slot)
    version = cells.uns.get("sceval", {}).get("schema") if isinstance(cells.uns.get("sceval"), dict) else None
    if isinstance(version, str) and version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        problems.append(Problem(f"{path}: uns/sceval/schema", f"version {version}", f"version {SCHEMA_VERSION}"))
    return problems


def _load(kind: str, path: Path | str, lazy_above: int | None = None) -> tuple[list[Problem], CellFile | None]:
    """Read a file once; return its problems and, where it could be read at all, its content."""
    try:
        if not h5ad.is_encoded(path):
            return [Problem(str(path), "no data frame `obs` of encoding 0.2.0", "a file of anndata 0.8 or later")], None
        cells = h5ad.read(path, lazy_above=lazy_above)
    except FileNotFoundError:
        return [Problem(str(path), "no such file", f"a {kind} file")], None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        return [Problem(str(path), f"a file that cannot be read ({error})", "an AnnData file (.h5ad)")], None
    return check_cells(kind, cells, path), cells


def check(kind: str, path: Path | str) -> list[Problem]:
    """Return every problem of an AnnData file of a kind; an empty list where there is none."""
    return _load(kind, path)[0]


def read(kind: str, path: Path | str, *, lazy_above: int | None = None) -> CellFile:
    """Read and check a file; a CSR `X` of more stored values than `lazy_above` stays in it (`rows.CsrRows`).

    Raises
    ------
    ContractError
        With every problem of the file.
    """
    problems, cells = _load(kind, path, lazy_above)
    if problems or cells is None:
        raise ContractError(problems)
    return cells


def write(kind: str, path: Path | str, cells: CellFile) -> None:
    """Check and write a file; it appears whole or not at all.

    Raises
    ------
    ContractError
        With every problem of the content; nothing is written then.
    """
    problems = check_cells(kind, cells, path)
    if problems:
        raise ContractError(problems)
    h5ad.write(path, cells)
