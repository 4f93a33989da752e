"""A dataset as the project sees it: one matrix, gene ids, batch and label, read as its sheet row says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError, Problem, h5ad, h5mu
from sceval.contract.checks import counts, finite, nonnegative
from sceval.data import embedded
from sceval.data.extras import add_extras
from sceval.data.label_map import apply_label_map
from sceval.data.second_modality import add_second, read_h5mu
from sceval.data.sheets import nearest

MISSING = {"", "nan", "NaN", "NA", "N/A", "None", "none", "null", "<NA>"}
"""Labels that mean that there is none; they never become a class."""

UNASSIGNED = "unassigned"
"""The prediction that abstains; no true type may be called so."""


def _read_file(path: Path) -> CellFile:
    """Read any AnnData file, or the RNA of a MuData file; formats before anndata 0.8 through anndata itself."""
    if h5mu.is_h5mu(path):
        return read_h5mu(path)
    if h5ad.is_encoded(path):
        return h5ad.read(path)
    try:
        import anndata
    except ModuleNotFoundError as error:
        msg = "it is older than anndata 0.8 and anndata is not installed here: save it again with anndata 0.8 or later"
        raise ValueError(msg) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each element of an old file would tell that it is old
        data = anndata.read_h5ad(path)
    text = {name: np.array([None if v != v else v for v in data.obs[name]], object) for name in data.obs}
    genes = {name: np.asarray(data.var[name], object) for name in data.var}
    out = CellFile(
        np.asarray(data.obs_names, object), np.asarray(data.var_names, object), X=data.X, obs=text, var=genes
    )
    out.layers = dict(data.layers)
    return out


def _labels(values: np.ndarray) -> np.ndarray:
    out = np.array([None if value is None or value != value else str(value).strip() for value in values], object)
    out[[value in MISSING for value in out]] = None
    return out


def _column(frame: dict[str, np.ndarray], key: str, where: str, place: str) -> tuple[np.ndarray | None, list[Problem]]:
    if key in frame:
        return frame[key], []
    known = sorted(frame)
    return None, [Problem(where, repr(key), f"a column of {place} ({', '.join(known) or 'none'}){nearest(key, known)}")]


def read_dataset(
    row: dict[str, Any], path: Path | None, sheet: str = "datasets.csv", files: dict[str, Path] | None = None
) -> CellFile:
    """Read a dataset as its row of the datasets sheet says.

    Parameters
    ----------
    row
        A row of `sheets.read_datasets`.
    path
        The file, or None for embedded cells.
    sheet
        Name of the sheet, for messages.
    files
        Further files: column of the sheet (`FILE_COLUMNS`) -> where it lies now.

    Returns
    -------
    `X` n x g CSR; `obs['batch']` and `obs['cell_type']` where the row names them (a missing label is None);
    `var['gene_symbol']` and `var['ensembl_id']`; and what `extras` describes.

    Raises
    ------
    ContractError
        With every problem: file, row and column of the sheet, what was found, what would be right.
    """
    place = f"{sheet}, row {row['row']}"
    if row["path"].startswith(embedded.PREFIX):
        try:
            data = embedded.load(row["path"].removeprefix(embedded.PREFIX))
        except KeyError as error:
            known = [f"{embedded.PREFIX}{name}" for name in embedded.names()]
            expected = f"one of {', '.join(known)}{nearest(row['path'], known)}"
            raise ContractError([Problem(f"{place}, column path", repr(row["path"]), expected)]) from error
    else:
        if path is None or not path.is_file():
            expected = "an .h5ad or .h5mu file"
            raise ContractError([Problem(f"{place}, column path", f"no file {row['path']}", expected)])
        try:
            data = _read_file(path)
        except (OSError, KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            found = f"{row['path']}, which cannot be read ({error})"
            expected = "an AnnData (.h5ad) or MuData file (.h5mu)"
            raise ContractError([Problem(f"{place}, column path", found, expected)]) from error
    return _as_dataset(row, data, place, files or {})


def _as_dataset(row: dict[str, Any], data: CellFile, place: str, files: dict[str, Path]) -> CellFile:
    problems: list[Problem] = []
    X = data.X
    if row["layer"]:
        X = data.layers.get(row["layer"])
        if X is None:
            known = sorted(data.layers)
            expected = f"a layer ({', '.join(known) or 'none in this file'}){nearest(row['layer'], known)}"
            problems.append(Problem(f"{place}, column layer", repr(row["layer"]), expected))
    elif X is None:
        problems.append(Problem(f"{place}, column path", f"{row['path']} without X", "a matrix in X, or a layer named"))
    if X is not None and (np.shape(X) != (data.n_obs, data.n_vars) or X.dtype.kind not in "biuf"):
        size = " x ".join(map(str, np.shape(X)))
        found = f"a matrix of {size} entries of type {X.dtype} in {row['path']}"
        expected = f"numbers, {data.n_obs} cells x {data.n_vars} genes"
        problems.append(Problem(f"{place}, column {'layer' if row['layer'] else 'path'}", found, expected))
    out = CellFile(data.obs_names, data.var_names)
    for column, target in (("batch_key", "batch"), ("label_key", "cell_type")):
        if row[column]:
            values, wrong = _column(data.obs, row[column], f"{place}, column {column}", "obs")
            problems += wrong
            if values is not None:
                out.obs[target] = _labels(values)
    for column in ("gene_symbol", "ensembl_id"):
        values = data.var.get(column) if not row[column] else None
        if row[column]:
            values, wrong = _column(data.var, row[column], f"{place}, column {column}", "var")
            problems += wrong
        if values is None:
            values = data.var_names if column == "gene_symbol" else np.full(data.n_vars, "", object)
        out.var[column] = np.array(["" if v is None or v != v else str(v) for v in values], object)
    out.var["ensembl_id"] = np.array([name.split(".")[0] for name in out.var["ensembl_id"]], object)
    problems += add_extras(row, data, out, files, place)
    problems += apply_label_map(row, out, files, place)
    problems += add_second(row, data, out, files, place)
    if problems:
        raise ContractError(problems)
    out.X = sparse.csr_matrix(X).astype(np.float32)
    out.X.sum_duplicates()
    out.uns["sceval"] = {"organism": row["organism"], "matrix": row["matrix"]}
    return out


def _zero_or_one(X: sparse.csr_matrix) -> tuple[str, str] | None:
    largest = X.data.max(initial=0)
    return (f"a value of {largest:g}", "0 and 1 only, as the sheet declares `binary`") if largest > 1 else None


def _fractional(X: sparse.csr_matrix) -> tuple[str, str] | None:
    whole = X.nnz > 0 and counts(X) is None
    return ("whole numbers only", "log-normalised values, as the sheet declares `lognorm`") if whole else None


_CHECKS = {
    "counts": (finite, counts, nonnegative),
    "binary": (finite, counts, nonnegative, _zero_or_one),
    "lognorm": (finite, nonnegative, _fractional),
}


def check_dataset(row: dict[str, Any], data: CellFile, sheet: str = "datasets.csv") -> list[Problem]:
    """Return what makes a dataset unusable: ids, values of the matrix, batches without cells."""
    place = f"{sheet}, row {row['row']} ({row['path']})"
    problems = []
    for name, ids, axis in (("obs", data.obs_names, "cell"), ("var", data.var_names, "gene")):
        unique, first = np.unique(ids.astype(str), return_index=True)
        if len(unique) < len(ids):
            repeated = sorted(set(range(len(ids))) - set(first.tolist()))
            found = (
                f"{axis} id {ids[repeated[0]]!r} a second time, in row {repeated[0]} ({len(repeated)} repeated in all)"
            )
            problems.append(Problem(f"{place}: index of {name}", found, "unique ids"))
        if not len(ids):
            problems.append(Problem(f"{place}: {name}", f"no {axis}", f"at least one {axis}"))
    for check in _CHECKS[row["matrix"]]:
        finding = check(data.X)
        if finding:
            problems.append(Problem(f"{place}: {row['layer'] or 'X'}", *finding))
            break
    if "batch" in data.obs:
        missing = np.array([value is None for value in data.obs["batch"]], bool)
        if missing.any():
            found = f"{int(missing.sum())} cells without a batch, first in row {int(missing.argmax())}"
            problems.append(Problem(f"{place}: obs[{row['batch_key']!r}]", found, "a batch for each cell"))
    if "cell_type" in data.obs and (taken := int((data.obs["cell_type"] == UNASSIGNED).sum())):
        found = f"{taken} cells of type {UNASSIGNED!r}"
        expected = "an empty label where there is none: predictions use that word to abstain"
        problems.append(Problem(f"{place}: obs[{row['label_key']!r}]", found, expected))
    empty = np.asarray(data.X.sum(axis=1)).ravel() == 0
    if empty.any() and not problems:
        found = f"{int(empty.sum())} cells without any count, first in row {int(empty.argmax())}"
        problems.append(
            Problem(f"{place}: {row['layer'] or 'X'}", found, "cells with at least one count (filter them)")
        )
    return problems
