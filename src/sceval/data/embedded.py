"""The real cells that ship with the project's dependencies: 700 PBMCs, no download.

`10x_pbmc68k_reduced.h5ad` lies in the scanpy wheel (Zheng et al. 2017, 10x Genomics fresh 68k PBMC donor A,
CC BY 4.0). It is read without importing scanpy, which would take some 11 s. Its `raw` holds log1p of counts
that were scaled per cell; dividing `expm1` of a cell by its smallest non-zero value gives back the integer
UMI counts. The suffix of each barcode is the 10x lane, a real batch key.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.planted import plant_batches
from sceval.data.planted_multiome import plant_multiome
from sceval.data.planted_network import plant_network
from sceval.data.planted_perturbations import plant_perturbations
from sceval.data.planted_spatial import plant_spatial

PREFIX = "embedded:"
"""Paths in the datasets sheet that begin so name embedded cells instead of a file."""

LARGEST_ROUNDING_ERROR = 0.2
"""Counts are refused as not recovered above this distance from an integer (seen: 0.11)."""

STRENGTHS = (0.0, 0.25, 0.5, 1.0)
"""Strengths of the planted batch effect."""


def names() -> list[str]:
    """Return the names that may follow `embedded:` in the datasets sheet."""
    return [
        "pbmc68k_lanes",
        "pbmc68k_multiome",
        "pbmc68k_network",
        "pbmc68k_perturbed",
        "pbmc68k_spatial",
        *(f"pbmc68k_planted_{strength:g}" for strength in STRENGTHS),
    ]


def _file() -> Path:
    spec = find_spec("scanpy")
    if spec is None or not spec.submodule_search_locations:
        msg = "the embedded cells lie in the scanpy package, which is not installed here: pip install 'sceval[data]'"
        raise FileNotFoundError(msg)
    return Path(spec.submodule_search_locations[0]) / "datasets" / "10x_pbmc68k_reduced.h5ad"


def recover_counts(log_values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the integer counts behind log1p of per-cell scaled counts.

    Parameters
    ----------
    log_values
        n x g; each cell holds log1p(c x count) with an unknown c, and at least one count of 1.

    Raises
    ------
    ValueError
        If a value lies further than `LARGEST_ROUNDING_ERROR` from an integer, or a cell has no value above 0.
    """
    stored = np.diff(log_values.indptr)
    if not stored.all() or not (log_values.data > 0).all():
        msg = "these are not scaled counts: a cell is empty, or a stored value is not above 0"
        raise ValueError(msg)
    linear = np.expm1(log_values.data.astype(float))
    smallest = np.minimum.reduceat(linear, log_values.indptr[:-1])
    ratio = linear / np.repeat(smallest, stored)
    counts = np.round(ratio)
    error = float(np.abs(ratio - counts).max())
    if error > LARGEST_ROUNDING_ERROR:
        msg = f"these are not scaled counts: a value lies {error:.2f} from an integer"
        raise ValueError(msg)
    return sparse.csr_matrix((counts.astype(np.float32), log_values.indices, log_values.indptr), log_values.shape)


def pbmc68k() -> CellFile:
    """Return the 700 cells x 765 genes with `obs` columns `batch` (the 10x lane) and `cell_type`."""
    with h5py.File(_file(), "r") as handle:
        raw = handle["raw.X"]
        shape = tuple(raw.attrs["h5sparse_shape"])
        log_values = sparse.csr_matrix((raw["data"][:], raw["indices"][:], raw["indptr"][:]), shape)
        cells = np.array([name.decode() for name in handle["obs"]["index"]], object)
        genes = np.array([name.decode() for name in handle["raw.var"]["index"]], object)
        categories = np.array([name.decode() for name in handle["uns/bulk_labels_categories"][:]], object)
        labels = categories[handle["obs"]["bulk_labels"]]
    out = CellFile(cells, genes, X=recover_counts(log_values))
    out.X.sort_indices()
    out.obs["batch"] = np.array([f"lane{name.rsplit('-', 1)[1]}" for name in cells], object)
    out.obs["cell_type"] = labels
    out.var["gene_symbol"] = genes.copy()
    out.var["ensembl_id"] = np.full(len(genes), "", object)
    return out


def load(name: str) -> CellFile:
    """Return embedded cells by name (without the prefix).

    Raises
    ------
    KeyError
        If there are none of that name; the message lists those that exist.
    """
    if name not in names():
        msg = f"no embedded dataset {name!r}; there are {', '.join(names())}"
        raise KeyError(msg)
    cells = pbmc68k()
    if name == "pbmc68k_multiome":
        return plant_multiome(cells)
    if name == "pbmc68k_network":
        return plant_network(cells)
    if name == "pbmc68k_perturbed":
        return plant_perturbations(cells)
    if name == "pbmc68k_spatial":
        return plant_spatial(cells)
    if name != "pbmc68k_lanes":
        cells = plant_batches(cells, strength=float(name.rsplit("_", 1)[1]))
    return cells
