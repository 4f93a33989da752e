"""A light reader and writer of MuData files (`.h5mu`): each modality is AnnData in the group `/mod/NAME`."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from sceval.contract.h5ad import CellFile, read_frame, read_group, write_frame, write_group


def is_h5mu(path: Path | str) -> bool:
    """Tell whether a file holds modalities, whatever it is called.

    Raises
    ------
    OSError
        If the file is not HDF5.
    """
    with h5py.File(path, "r") as handle:
        return "mod" in handle and "X" not in handle


def read(path: Path | str) -> dict[str, CellFile]:
    """Read all modalities, in the order of the file's `mod-order`, else of their names.

    Columns of the common `obs` are added to each modality that has no column of that name; a column `NAME:column`, as
    mudata writes it, belongs to that modality alone and repeats what stands there.

    Raises
    ------
    OSError
        If the file is not HDF5.
    KeyError
        If it holds no modality, or one without `obs` or `var`.
    """
    with h5py.File(path, "r") as handle:
        modalities = handle["mod"]
        order = [
            name.decode() if isinstance(name, bytes) else str(name) for name in modalities.attrs.get("mod-order", [])
        ]
        names = [name for name in order if name in modalities] or sorted(modalities)
        found = {name: read_group(modalities[name]) for name in names}
        common, columns = read_frame(handle["obs"]) if "obs" in handle else (np.empty(0, object), {})
    place = {cell: row for row, cell in enumerate(common)}
    for cells in found.values():
        rows = np.array([place.get(cell, -1) for cell in cells.obs_names], int)
        for name, values in columns.items():
            if ":" not in name and name not in cells.obs and (rows >= 0).all():
                cells.obs[name] = values[rows]
    return found


def write(path: Path | str, modalities: dict[str, CellFile]) -> None:
    """Write modalities; the file appears whole or not at all."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    everyone = np.array(list(dict.fromkeys(name for cells in modalities.values() for name in cells.obs_names)), object)
    features = np.array([name for cells in modalities.values() for name in cells.var_names], object)
    try:
        with h5py.File(part, "w") as handle:
            handle.attrs["encoding-type"] = "MuData"
            handle.attrs["encoding-version"] = "0.1.0"
            handle.attrs["axis"] = 0
            write_frame(handle, "obs", everyone, {})
            write_frame(handle, "var", features, {})
            group = handle.create_group("mod")
            group.attrs.create("mod-order", np.array(list(modalities), object), dtype=h5py.string_dtype())
            for name, cells in modalities.items():
                write_group(group.create_group(name), cells)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # gone already where all went well
