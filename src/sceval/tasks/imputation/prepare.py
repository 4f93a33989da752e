"""What of the counts is hidden: every second one (thinning), single entries (masked), or whole genes of spots."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError, Problem
from sceval.data.needs import LEAST_SPATIAL_GENES
from sceval.tasks.views import solution_of, view_of

ID = "imputation"

KEPT = 0.5
"""Probability of each count to stay in the view of `thinning`; with one half, view and solution have the same depth."""

HIDDEN = 0.1
"""Share of the entries, zero or not, that `masked` hides."""

HELD_OUT = 0.25
"""Share of the eligible genes that spots lack in `spatial`."""

LEAST_DETECTED = 0.02
"""A held-out gene is seen in this share of the spots (and in at least three of them, and three reference cells)."""

DEPTH = {"thinning": (1 - KEPT) / KEPT, "masked": 1 / (1 - HIDDEN), "spatial": 1.0}
"""Expected held-out count over expected count at the depth of the view, which is what a model is asked for."""

_BLOCK = 2048


def _csr(X: sparse.csr_matrix) -> sparse.csr_matrix:
    out = sparse.csr_matrix(X, dtype=np.float32)
    out.eliminate_zeros()
    out.sort_indices()
    return out


def thin(X: sparse.csr_matrix, share: float, rng: np.random.Generator) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Deal each count of X to the first part with probability `share`, else to the second (binomial).

    Where X is Poisson given a rate, the two parts are independent given that rate (Batson et al. 2019, molecular
    cross-validation; Neufeld et al. 2024, count splitting).
    """
    first = X.copy()
    first.data = rng.binomial(X.data.astype(np.int64), share).astype(np.float32)
    second = X.copy()
    second.data = X.data - first.data
    return _csr(first), _csr(second)


def _mask(X: sparse.csr_matrix, rng: np.random.Generator) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return 1 at each hidden entry and the hidden counts: zeros are hidden as often as others, so it tells nothing."""
    blocks = [
        sparse.csr_matrix(rng.random((min(_BLOCK, X.shape[0] - low), X.shape[1])) < HIDDEN, dtype=np.float32)
        for low in range(0, X.shape[0], _BLOCK)
    ]
    hidden = sparse.vstack(blocks, format="csr")
    return hidden, _csr(X.multiply(hidden))


def _joined(reference: CellFile, spots: CellFile) -> CellFile:
    """Return reference cells and spots over the genes they share (the reference's order), with `obs['modality']`."""
    where = {name: column for column, name in enumerate(spots.var_names)}
    mine = np.array([column for column, name in enumerate(reference.var_names) if name in where], int)
    if len(mine) < LEAST_SPATIAL_GENES:
        found = f"{len(mine)} genes shared by the reference and the spots"
        raise ContractError([Problem("datasets sheet, column query", found, f"at least {LEAST_SPATIAL_GENES}")])
    theirs = np.array([where[name] for name in reference.var_names[mine]], int)
    names = np.concatenate([reference.obs_names, np.array([f"query:{name}" for name in spots.obs_names], object)])
    out = CellFile(
        names, reference.var_names[mine], X=sparse.vstack([reference.X[:, mine], spots.X[:, theirs]]).tocsr()
    )
    out.var = {name: values[mine] for name, values in reference.var.items()}
    sizes = (reference.n_obs, spots.n_obs)
    out.obs["modality"] = np.repeat(np.array(["single_cell", "spatial"], object), sizes)
    labels = [part.obs.get("cell_type", np.full(part.n_obs, None, object)) for part in (reference, spots)]
    out.obs["cell_type"] = np.concatenate(labels)
    positions = np.full((sum(sizes), 2), np.nan)
    positions[sizes[0] :] = spots.obsm["spatial"][:, :2]
    out.obsm["spatial"] = positions
    out.uns = {"sceval": reference.uns["sceval"]}
    return out


def _held_out_genes(data: CellFile, spots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the columns that spots lack: drawn among the genes that both kinds of rows measure often enough."""
    seen = np.asarray((data.X[spots] != 0).sum(axis=0)).ravel()
    known = np.asarray((data.X[~spots] != 0).sum(axis=0)).ravel()
    eligible = np.flatnonzero((seen >= max(3, LEAST_DETECTED * spots.sum())) & (known >= 3))
    if len(eligible) < LEAST_SPATIAL_GENES:
        found = f"{len(eligible)} genes detected in {LEAST_DETECTED:.0%} of the spots and in three reference cells"
        raise ContractError([Problem("spatial split", found, f"at least {LEAST_SPATIAL_GENES}")])
    return np.sort(rng.choice(eligible, max(round(HELD_OUT * len(eligible)), 2), replace=False))


def _spatial(data: CellFile, rng: np.random.Generator) -> tuple[sparse.csr_matrix, sparse.csr_matrix, np.ndarray]:
    """Return what is shown, what is held out (both n x g), and for each gene `test` (asked for) or `train`."""
    spots = data.obs["modality"].astype(str) == "spatial"
    part = np.full(data.n_vars, "train", object)
    part[_held_out_genes(data, spots, rng)] = "test"
    asked = sparse.diags(spots.astype(np.float32)) @ data.X @ sparse.diags((part == "test").astype(np.float32))
    held = _csr(asked)
    return _csr(data.X - held), held, part


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return the view with the counts that are shown and the solution with those that are not (`X`).

    Parameters
    ----------
    data
        Counts; for `spatial` the single-cell reference, or reference and spots told apart by `obs['modality']`.
    query
        `spatial`: the spots, with positions in `obsm['spatial']`.
    split
        `thinning`, `masked` (the view lists the hidden entries in `layers['hidden']`) or `spatial` (`var['part']` is
        `test` for the genes that spots lack).

    Raises
    ------
    ContractError
        If values are no whole numbers, or a spatial split has too few genes or no positions.
    """
    rng = np.random.default_rng(split_seed)
    fractional = data.X.data != np.round(data.X.data)
    if fractional.any():
        found = f"a value of {data.X.data[fractional][0]:g}"
        raise ContractError([Problem(f"dataset {dataset}: X", found, "whole counts, of which a part can be hidden")])
    if split == "spatial" and query is not None:
        data = _joined(data, query)
    if split == "spatial" and "spatial" not in data.obsm:
        found = "no obsm['spatial']"
        raise ContractError([Problem(f"dataset {dataset}", found, "positions of the spots, n x 2, in obsm['spatial']")])
    view, solution = view_of(data, dataset, ID, split), solution_of(data, dataset, ID, split)
    solution.var_names = view.var_names
    if split == "thinning":
        view.X, solution.X = thin(data.X, KEPT, rng)
    elif split == "masked":
        hidden, solution.X = _mask(data.X, rng)
        view.X = _csr(data.X - solution.X)
        view.layers["hidden"] = hidden
    else:
        view.X, solution.X, part = _spatial(data, rng)
        view.var["part"] = part
        solution.var["part"] = part
        view.obs["modality"] = data.obs["modality"]
        view.obsm["spatial"] = np.asarray(data.obsm["spatial"], np.float64)
    return view, solution
