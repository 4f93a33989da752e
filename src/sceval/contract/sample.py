"""A small valid view with planted types and batches, to try a model program on."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract.h5ad import CellFile
from sceval.contract.schema import SCHEMA_VERSION


def sample_types(n: int, types: int) -> np.ndarray:
    """Return the planted label of each cell of `sample_view`."""
    return np.array([f"type{i % types}" for i in range(n)], object)


def sample_view(
    n: int = 60, g: int = 40, batches: int = 2, types: int = 3, seed: int = 0, *, task: str = "cell_type_annotation"
) -> CellFile:
    """Return a view of n cells x g genes from which a model can learn something.

    Each type has marker genes of its own and each batch a mild effect on every gene. For `cell_type_annotation`
    60 % of the cells are `train`, 15 % `validation` and 25 % `test`, and test cells carry no label; other tasks show
    neither label nor part.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.6, 1.0, g)
    marker = np.where(np.arange(g)[None, :] % types == np.arange(types)[:, None], 4.0, 0.5)
    effect = rng.lognormal(0.0, 0.3, (batches, g))
    kind, batch = np.arange(n) % types, rng.permutation(np.arange(n) % batches)
    depth = rng.lognormal(0.0, 0.3, n)[:, None]
    X = rng.poisson(3 * rate * marker[kind] * effect[batch] * depth + 0.05)
    cells = CellFile(
        np.array([f"cell{i:04d}-{rng.integers(1e6)}" for i in range(n)], object),
        np.array([f"ENSG{i:011d}" for i in range(g)], object),
        X=sparse.csr_matrix(X.astype(np.float32)),
    )
    cells.var["gene_symbol"] = np.array([f"GENE{i}" for i in range(g)], object)
    cells.var["ensembl_id"] = cells.var_names.copy()
    cells.obs["batch"] = np.array([f"batch{b}" for b in batch], object)
    with_split = task == "cell_type_annotation"
    if with_split:
        part = np.array(["train"] * 12 + ["validation"] * 3 + ["test"] * 5, object)[rng.permutation(n) % 20]
        cells.obs["part"] = part
        cells.obs["cell_type"] = np.where(part == "test", None, sample_types(n, types))
    cells.uns["sceval"] = {
        "schema": SCHEMA_VERSION,
        "dataset": "sample",
        "task": task,
        "split": "intra" if with_split else "all",
        "organism": "human",
        "matrix": "counts",
    }
    return cells


def take(view: CellFile, rows: np.ndarray, columns: np.ndarray | None = None) -> CellFile:
    """Return some cells (and genes) of a view, in the given order."""
    columns = np.arange(view.n_vars) if columns is None else columns
    return CellFile(
        view.obs_names[rows],
        view.var_names[columns],
        X=view.X[rows][:, columns],
        obs={name: values[rows] for name, values in view.obs.items()},
        var={name: values[columns] for name, values in view.var.items()},
        uns=view.uns,
    )
