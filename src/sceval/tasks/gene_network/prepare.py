"""View and solution of gene network: cells, perhaps in groups; the reference and the gene sets are hidden."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile, ContractError, Problem
from sceval.data.needs import LEAST_EDGES, LEAST_TYPE_CELLS
from sceval.tasks.views import solution_of, view_of

ID = "gene_network"

MOST_TYPES = 10
"""Types that `by_type` asks for, the largest."""

LARGEST_SET, SMALLEST_SET = 500, 5
"""Genes of the dataset that a set must have to be tested."""


def gene_numbers(data: CellFile, names: np.ndarray) -> np.ndarray:
    """Return the column of each name, -1 where it is no gene: by id, then symbol, then Ensembl id."""
    where: dict[str, int] = {}
    for ids in (data.var_names, data.var["gene_symbol"], data.var["ensembl_id"]):
        for column, name in enumerate(ids):
            if name:
                where.setdefault(str(name), column)
    return np.array([where.get(str(name), -1) for name in names], int)


def reference(data: CellFile) -> dict[str, np.ndarray]:
    """Return the edges of the reference inside the dataset, once each and without self-loops, and the regulators.

    Regulators are those that the reference names, else its sources.
    """
    given = data.uns["network"]
    source, target = (gene_numbers(data, given[name]) for name in ("source", "target"))
    keep = (source >= 0) & (target >= 0) & (source != target)
    pairs = np.unique(np.column_stack([source[keep], target[keep]]), axis=0)
    regulators = np.unique(pairs[:, 0])
    if "regulators" in given:
        named = gene_numbers(data, given["regulators"])
        regulators = np.union1d(regulators, named[named >= 0])
    names = data.var_names
    return {"source": names[pairs[:, 0]], "target": names[pairs[:, 1]], "regulators": names[regulators]}


def gene_sets(data: CellFile) -> dict[str, np.ndarray]:
    """Return the memberships of the sets that have a usable number of genes here."""
    given = data.uns["gene_sets"]
    genes = gene_numbers(data, given["gene"])
    keep = genes >= 0
    pairs = sorted({(str(name), gene) for name, gene in zip(given["class"][keep], genes[keep], strict=True)})
    names, counts = np.unique(np.array([name for name, _ in pairs], object).astype(str), return_counts=True)
    usable = set(names[(counts >= SMALLEST_SET) & (counts <= LARGEST_SET)])
    pairs = [pair for pair in pairs if pair[0] in usable]
    return {
        "gene": data.var_names[[gene for _, gene in pairs]],
        "class": np.array([name for name, _ in pairs], object),
    }


def halves(data: CellFile, seed: int) -> np.ndarray:
    """Return `half1` or `half2` for each cell (n,), each with half of every cell type."""
    rng = np.random.default_rng(seed)
    labels = data.obs.get("cell_type")
    codes = np.zeros(data.n_obs, int) if labels is None else np.unique(labels.astype(str), return_inverse=True)[1]
    out = np.empty(data.n_obs, object)
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        out[rows] = np.where((np.arange(len(rows)) + code) % 2 == 0, "half1", "half2")
    return out


def types(data: CellFile) -> np.ndarray:
    """Return the cell type of each cell (n,), None for types with fewer than `LEAST_TYPE_CELLS` cells."""
    labels = data.obs["cell_type"]
    names, counts = np.unique([name for name in labels if name is not None], return_counts=True)
    order = np.lexsort((names, -counts))
    large = set(names[[i for i in order if counts[i] >= LEAST_TYPE_CELLS][:MOST_TYPES]])
    return np.array([name if name in large else None for name in labels], object)


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (all cells, the regulators, perhaps groups of cells) and solution (edges and gene sets).

    `all`: one network of all cells. `halves`: one of each random half. `by_type`: one of each cell type.

    Raises
    ------
    ContractError
        If too few edges are left after self-loops and repetitions.
    """
    del query
    view = view_of(data, dataset, ID, split)
    solution = solution_of(data, dataset, ID, split)
    solution.var_names = data.var_names
    if "network" in data.uns:
        edges = reference(data)
        if len(edges["source"]) < LEAST_EDGES:
            found = f"{len(edges['source'])} edges inside the dataset without self-loops and repetitions"
            raise ContractError([Problem(f"dataset {dataset}, network", found, f"at least {LEAST_EDGES}")])
        solution.uns["network"] = edges
        view.uns["network"] = {"regulators": edges["regulators"]}
    if "gene_sets" in data.uns:
        solution.uns["gene_sets"] = gene_sets(data)
    if split == "halves":
        view.obs["group"] = halves(data, split_seed)
    elif split == "by_type":
        view.obs["group"] = types(data)
    return view, solution
