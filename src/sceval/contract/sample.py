"""Small valid views with planted types and batches, one kind for each task, to try a model program on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse

from sceval.contract.h5ad import CellFile
from sceval.contract.schema import SCHEMA_VERSION

_LABELED = ("cell_type_annotation", "simulation")
_SPLIT_NAMES = {
    "cell_type_annotation": "intra",
    "gene_function": "genes",
    "perturbation": "unseen_perturbation",
    "gene_network": "all",
    "imputation": "thinning",
    "simulation": "thirds",
    "multiomic_integration": "mosaic",
}


def sample_types(n: int, types: int) -> np.ndarray:
    """Return the planted label of each cell of `sample_view`."""
    return np.array([f"type{i % types}" for i in range(n)], object)


def sample_view(
    n: int = 60,
    g: int = 40,
    batches: int = 2,
    types: int = 3,
    seed: int = 0,
    *,
    task: str = "cell_type_annotation",
    genes: tuple[Sequence[str], Sequence[str]] | None = None,
) -> CellFile:
    """Return a view of n cells x g genes from which a model can learn something.

    Each type has marker genes of its own and each batch a mild effect on every gene. For `cell_type_annotation`
    60 % of the cells are `train`, 15 % `validation` and 25 % `test`, and test cells carry no label; batch integration
    shows neither label nor part; what the other tasks add is written at `_ADD`.

    Parameters
    ----------
    n, g, batches, types, seed
        Sizes and seed; each of the sizes at least 2.
    task
        Task whose view it is.
    genes
        Symbols and Ensembl ids to use in place of made-up ones, g of each.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(0.6, 1.0, g)
    marker = np.where(np.arange(g)[None, :] % types == np.arange(types)[:, None], 4.0, 0.5)
    effect = rng.lognormal(0.0, 0.3, (batches, g))
    kind, batch = np.arange(n) % types, rng.permutation(np.arange(n) % batches)
    depth = rng.lognormal(0.0, 0.3, n)[:, None]
    X = rng.poisson(3 * rate * marker[kind] * effect[batch] * depth + 0.05)
    symbols, ids = genes or ([f"GENE{i}" for i in range(g)], [f"ENSG{i:011d}" for i in range(g)])
    cells = CellFile(
        np.array([f"cell{i:04d}-{rng.integers(1e6)}" for i in range(n)], object),
        np.array(ids, object),
        X=sparse.csr_matrix(X.astype(np.float32)),
    )
    cells.var["gene_symbol"] = np.array(symbols, object)
    cells.var["ensembl_id"] = cells.var_names.copy()
    cells.obs["batch"] = np.array([f"batch{b}" for b in batch], object)
    if task == "cell_type_annotation":
        cells.obs["part"] = np.array(["train"] * 12 + ["validation"] * 3 + ["test"] * 5, object)[
            rng.permutation(n) % 20
        ]
    if task in _LABELED:
        hidden = cells.obs["part"] == "test" if "part" in cells.obs else np.zeros(n, bool)
        cells.obs["cell_type"] = np.where(hidden, None, sample_types(n, types))
    cells.uns["sceval"] = {
        "schema": SCHEMA_VERSION,
        "dataset": "sample",
        "task": task,
        "split": _SPLIT_NAMES.get(task, "all"),
        "organism": "human",
        "matrix": "counts",
    }
    if task in _ADD:
        _ADD[task](cells, rng)
    return cells


def _gene_function(cells: CellFile, rng: np.random.Generator) -> None:
    """Give three of four genes a class; a sixth of these are asked for."""
    part = np.array(["train"] * 4 + ["validation", "test"] + [None] * 2, object)[rng.permutation(cells.n_vars) % 8]
    cells.var["part"] = part
    label = np.array(["class0", "class1"], object)[np.arange(cells.n_vars) % 3 % 2]
    cells.var["gene_class"] = np.where((part == "test") | (part == None), None, label)  # noqa: E711 - of each element


def _perturbation(cells: CellFile, rng: np.random.Generator) -> None:
    """Make half of the cells controls and knock six genes out in the others; ask for two more and for a pair."""
    symbols = cells.var["gene_symbol"]
    common = np.argsort(-np.asarray(cells.X.sum(axis=0)).ravel(), kind="stable")[:8]
    name = np.full(cells.n_obs, "control", object)
    X = cells.X.toarray()
    for row in range(0, cells.n_obs, 2):
        column = common[row // 2 % 6]
        name[row], X[row, column] = symbols[column], 0
    cells.X = sparse.csr_matrix(X)
    cells.obs["perturbation"] = name
    chooses = rng.permutation(cells.n_obs) % 5 == 0
    cells.obs["part"] = np.where(chooses, "validation", "train").astype(object)
    targets = [symbols[common[6]], symbols[common[7]], f"{symbols[common[0]]}+{symbols[common[1]]}"]
    cells.uns["perturbation"] = {"control": "control", "targets": np.array(targets, object)}


def _multiomic(cells: CellFile, rng: np.random.Generator) -> None:
    """Make the last quarter of the features proteins; a third of the cells lacks these, and a third the genes."""
    protein = np.arange(cells.n_vars) >= cells.n_vars - max(cells.n_vars // 4, 1)
    cells.var["modality"] = np.where(protein, "protein", "rna").astype(object)
    cells.obs["modality"] = np.array(["paired", "rna", "protein"], object)[rng.permutation(cells.n_obs) % 3]
    X = cells.X.toarray()
    X[np.ix_(cells.obs["modality"] == "rna", protein)] = 0
    X[np.ix_(cells.obs["modality"] == "protein", ~protein)] = 0
    cells.X = sparse.csr_matrix(X)


def _network(cells: CellFile, rng: np.random.Generator) -> None:
    """Name a quarter of the genes as regulators."""
    chosen = np.sort(rng.permutation(cells.n_vars)[: max(cells.n_vars // 4, 2)])
    cells.uns["network"] = {"regulators": cells.var_names[chosen]}


def _simulation(cells: CellFile, rng: np.random.Generator) -> None:
    """Ask for ten cells of each type in each batch."""
    kinds, batches = np.unique(cells.obs["cell_type"].astype(str)), np.unique(cells.obs["batch"].astype(str))
    cells.uns["simulation"] = {
        "cell_type": np.repeat(kinds, len(batches)).astype(object),
        "batch": np.tile(batches, len(kinds)).astype(object),
        "n": np.full(len(kinds) * len(batches), 10),
    }


_ADD: dict[str, Callable[[CellFile, np.random.Generator], None]] = {
    "gene_function": _gene_function,
    "perturbation": _perturbation,
    "multiomic_integration": _multiomic,
    "gene_network": _network,
    "simulation": _simulation,
}


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
