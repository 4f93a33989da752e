"""The three real parts: what a model learns from, what new cells are compared with, and the best that could give."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile, ContractError, Problem
from sceval.tasks.views import header, solution_of, view_of

ID = "simulation"

CYCLE = ("train", "test", "train", "replicate")
"""How the cells of a type, batch by batch, are dealt: half to training, a quarter each to test and replicate."""


def parts(types: np.ndarray, batches: np.ndarray, seed: int) -> np.ndarray:
    """Return the part of each cell (n,): dealt in a cycle along the batches of each type, so that both are balanced.

    The first cell of each type is a training cell, and each batch has one: what is asked for can be learned.
    """
    rng = np.random.default_rng(seed)
    part = np.full(len(types), "train", object)
    for kind in np.unique(types):
        rows = rng.permutation(np.flatnonzero(types == kind))
        names = rng.permutation(np.unique(batches[rows]))
        order = np.concatenate([rows[batches[rows] == name] for name in names])
        part[order] = np.array(CYCLE, object)[np.arange(len(order)) % len(CYCLE)]
    for name in np.unique(batches):
        inside = batches == name
        if not (part[inside] == "train").any():
            part[inside] = "train"
    return part


def _subset(data: CellFile, rows: np.ndarray) -> CellFile:
    obs = {key: value[rows] for key, value in data.obs.items()}
    out = CellFile(data.obs_names[rows], data.var_names, X=data.X[rows], obs=obs, var=dict(data.var))
    out.uns = data.uns
    return out


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (training cells with type and batch, and what is asked for) and solution (test and replicate cells).

    Cells without a label take no part. What is asked for is the number of test cells of each type (and batch).

    Raises
    ------
    ContractError
        If fewer than two types are left in the test part.
    """
    del query
    data = _subset(data, np.flatnonzero([label is not None for label in data.obs["cell_type"]]))
    types = data.obs["cell_type"].astype(str)
    batches = data.obs["batch"].astype(str) if "batch" in data.obs else np.full(data.n_obs, "")
    part = parts(types, batches, split_seed)
    train, test, replicate = (np.flatnonzero(part == name) for name in ("train", "test", "replicate"))
    if len(np.unique(types[test])) < 2 or not len(replicate):
        found = f"{len(np.unique(types[test]))} types with four cells and more"
        raise ContractError([Problem(f"dataset {dataset}, split {split}", found, "at least two")])
    seen = _subset(data, train)
    view = view_of(seen, dataset, ID, split)
    view.obs["cell_type"] = seen.obs["cell_type"]
    groups, sizes = np.unique(np.column_stack([types[test], batches[test]]).astype(str), axis=0, return_counts=True)
    asked = {"cell_type": groups[:, 0].astype(object), "n": sizes.astype(np.int64)}
    if "batch" in data.obs:
        asked["batch"] = groups[:, 1].astype(object)
    view.uns = header(data, dataset, ID, split) | {"simulation": asked}
    rest = np.concatenate([test, replicate])
    hidden = _subset(data, rest)
    solution = solution_of(hidden, dataset, ID, split)
    solution.X, solution.var_names = hidden.X, hidden.var_names
    solution.obs["part"] = part[rest]
    return view, solution
