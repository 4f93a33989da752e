"""A light reader and writer of AnnData files.

`anndata` takes about 4 s to import and pulls pandas in; a control that writes 700 random vectors should not
pay for that. This module reads and writes the on-disk format of anndata 0.8 and later (encodings
`dataframe` 0.2.0, `categorical` 0.2.0, `csr_matrix` 0.1.0, ...) with h5py, NumPy and SciPy alone. The tests
hold it side by side with `anndata` in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from sceval.contract.rows import CsrRows

Matrix = np.ndarray | sparse.csr_matrix | CsrRows


@dataclass
class CellFile:
    """Cells x genes with annotations, all in plain arrays.

    Attributes
    ----------
    obs_names, var_names
        Ids of cells (n) and genes (g), text.
    X
        n x g, CSR (in memory, or rows that stay in the file) or dense, or None where the file has none.
    obs, var
        Columns of length n and g. Text columns are object arrays in which None stands for a missing value.
    layers, obsm, obsp
        Further matrices by name.
    uns
        Nested dictionary of scalars, text and arrays.
    """

    obs_names: np.ndarray
    var_names: np.ndarray = field(default_factory=lambda: np.empty(0, object))
    X: Matrix | None = None
    obs: dict[str, np.ndarray] = field(default_factory=dict)
    var: dict[str, np.ndarray] = field(default_factory=dict)
    layers: dict[str, Matrix] = field(default_factory=dict)
    obsm: dict[str, Matrix] = field(default_factory=dict)
    obsp: dict[str, Matrix] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.obs_names)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return len(self.var_names)


def _decode(values: np.ndarray) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = [v.decode() if isinstance(v, bytes) else v for v in values]
    return out


def _read_text_or_array(node: h5py.Dataset) -> Any:
    if node.shape == ():
        value = node[()]
        return value.decode() if isinstance(value, bytes) else value
    if h5py.check_string_dtype(node.dtype) is not None:
        return _decode(node[:].ravel()).reshape(node.shape)
    return node[:]


def _read_element(node: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(node, h5py.Dataset):
        return _read_text_or_array(node)
    encoding = node.attrs.get("encoding-type", "dict")
    if encoding in ("csr_matrix", "csc_matrix"):
        build = sparse.csr_matrix if encoding == "csr_matrix" else sparse.csc_matrix
        matrix = build((node["data"][:], node["indices"][:], node["indptr"][:]), shape=tuple(node.attrs["shape"]))
        return matrix.tocsr()
    if encoding == "categorical":
        codes = node["codes"][:]
        categories = np.append(np.asarray(_read_element(node["categories"]), object), None)
        return categories[codes]  # code -1 is the appended None
    if encoding.startswith("nullable-"):
        values = np.asarray(_read_element(node["values"]), object)
        values[node["mask"][:].astype(bool)] = None
        return values
    if encoding == "dataframe":
        return read_frame(node)[1]
    return {name: _read_element(child) for name, child in node.items()}


def read_frame(group: h5py.Group) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read a data frame group (`obs`, `var`) into its index and its columns."""
    index_name = group.attrs.get("_index", "_index")
    index = np.asarray(_read_element(group[index_name]), object)
    index = np.array([str(value) for value in index], object)
    order = [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs.get("column-order", [])]
    return index, {name: np.asarray(_read_element(group[name])) for name in order}


def is_encoded(path: Path | str) -> bool:
    """Tell whether a file is in the format of anndata 0.8 or later, which this module reads."""
    with h5py.File(path, "r") as handle:
        return (
            "obs" in handle
            and handle["obs"].attrs.get("encoding-type") == "dataframe"
            and handle["obs"].attrs.get("encoding-version") == "0.2.0"
        )


def read(path: Path | str, slots: Iterable[str] | None = None, *, lazy_above: int | None = None) -> CellFile:
    """Read an AnnData file, or some slots of it.

    Parameters
    ----------
    path
        An `.h5ad` file.
    slots
        Names among `X`, `layers`, `obsm`, `obsp`, `uns`, or single elements such as `obsm/X_emb`. Indices, `obs` and
        `var` are always read. All where None.
    lazy_above
        A CSR `X` of more stored values stays in the file, as `CsrRows`; never where None.

    Raises
    ------
    OSError
        If the file is not HDF5.
    KeyError
        If it has no `obs` or `var`, or a named element is absent.
    """
    with h5py.File(path, "r") as handle:
        return read_group(handle, slots, lazy_above)


def read_group(handle: h5py.Group, slots: Iterable[str] | None = None, lazy_above: int | None = None) -> CellFile:
    """Read AnnData that is a file, or a group of one (a modality of an `.h5mu` file); see `read`."""
    wanted = None if slots is None else set(slots)
    obs_names, obs = read_frame(handle["obs"])
    var_names, var = read_frame(handle["var"]) if "var" in handle else (np.empty(0, object), {})
    out = CellFile(obs_names, var_names, obs=obs, var=var)
    if (
        (wanted is None or "X" in wanted)
        and "X" in handle
        and not (isinstance(handle["X"], h5py.Dataset) and handle["X"].shape is None)
    ):
        node = handle["X"]
        csr = node.attrs.get("encoding-type") == "csr_matrix"
        lazy = csr and lazy_above is not None and node["data"].shape[0] > lazy_above
        out.X = CsrRows(handle.file.filename, node.name) if lazy else _read_element(node)
    for name in ("layers", "obsm", "obsp", "uns"):
        if name in handle and (wanted is None or name in wanted):
            getattr(out, name).update({key: _read_element(child) for key, child in handle[name].items()})
    for element in wanted or ():
        if "/" in element:
            slot, key = element.split("/", 1)
            getattr(out, slot)[key] = _read_element(handle[element])
    return out


def _tag(node: h5py.Group | h5py.Dataset, encoding: str, version: str) -> Any:
    node.attrs["encoding-type"] = encoding
    node.attrs["encoding-version"] = version
    return node


def _text_array(group: h5py.Group, name: str, values: Iterable[Any]) -> None:
    data = np.array([str(value) for value in values], object)
    _tag(group.create_dataset(name, data=data, dtype=h5py.string_dtype()), "string-array", "0.2.0")


def _categorical(group: h5py.Group, name: str, values: np.ndarray) -> None:
    missing = np.array([value is None or value != value for value in values], bool)
    text = np.array([str(value) for value in values[~missing]], object)
    categories, inverse = np.unique(text, return_inverse=True) if len(text) else (np.empty(0, object), np.empty(0, int))
    codes = np.full(len(values), -1, np.int32)
    codes[~missing] = inverse
    node = _tag(group.create_group(name), "categorical", "0.2.0")
    node.attrs["ordered"] = False
    _tag(node.create_dataset("codes", data=codes), "array", "0.2.0")
    _text_array(node, "categories", categories)


def _write_element(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, dict):
        child = _tag(group.create_group(name), "dict", "0.1.0")
        for key, item in value.items():
            _write_element(child, key, item)
    elif sparse.issparse(value):
        matrix = value.tocsr()
        node = _tag(group.create_group(name), "csr_matrix", "0.1.0")
        node.attrs["shape"] = matrix.shape
        for part in ("data", "indices", "indptr"):
            node.create_dataset(part, data=getattr(matrix, part), compression="gzip", compression_opts=1)
    elif isinstance(value, str):
        _tag(group.create_dataset(name, data=value, dtype=h5py.string_dtype()), "string", "0.2.0")
    elif np.isscalar(value):
        _tag(group.create_dataset(name, data=value), "numeric-scalar", "0.2.0")
    else:
        array = np.asarray(value)
        if array.dtype.kind in "OU":
            _text_array(group, name, array)
        else:
            _tag(group.create_dataset(name, data=array), "array", "0.2.0")


def write_frame(handle: h5py.Group, name: str, index: np.ndarray, frame: dict[str, np.ndarray]) -> None:
    """Write a data frame (`obs`, `var`) as a group."""
    group = _tag(handle.create_group(name), "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs.create("column-order", np.array(list(frame), object), dtype=h5py.string_dtype())
    _text_array(group, "_index", index)
    for key, values in frame.items():
        array = np.asarray(values)
        if array.dtype.kind in "OU":
            _categorical(group, key, array.astype(object))
        else:
            _tag(group.create_dataset(key, data=array), "array", "0.2.0")


def write(path: Path | str, cells: CellFile) -> None:
    """Write an AnnData file; it appears whole or not at all.

    Text columns become categoricals in which None is a missing value. The file is written under a
    temporary name beside its place and moved there at the end.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with h5py.File(part, "w") as handle:
            write_group(handle, cells)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # gone already where all went well


def write_group(handle: h5py.Group, cells: CellFile) -> None:
    """Write AnnData into a file, or into a group of one."""
    _tag(handle, "anndata", "0.1.0")
    write_frame(handle, "obs", cells.obs_names, cells.obs)
    write_frame(handle, "var", cells.var_names, cells.var)
    if cells.X is not None:
        _write_element(handle, "X", cells.X)
    for slot in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
        _write_element(handle, slot, getattr(cells, slot, {}))
