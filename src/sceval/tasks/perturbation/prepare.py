"""The splits over perturbations, combinations and contexts: what a model may see, and what it is asked."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError, Problem
from sceval.data.needs import LEAST_CELLS
from sceval.data.perturbations import ALL, TEST_SHARE, Unit, combination_parts, hold_out, parts_of
from sceval.tasks.views import header

ID = "perturbation"

VALIDATION_SHARE, LEAST_FOR_VALIDATION = 0.1, 10
"""Share of the training perturbations that picks what has to be picked, and from how many there is one."""


def _asked(units: list[Unit], control: str, split: str, seed: int) -> tuple[set[Unit], set[Unit]]:
    """Return the units that are seen and those that are asked for; the others are in neither."""
    names = sorted({name for name, _ in units})
    if split == "unseen_combination":
        part = combination_parts(names, control, seed)
        return {u for u in units if part[u[0]] == "train"}, {u for u in units if part[u[0]] == "test"}
    if split == "unseen_perturbation":
        single = [name for name in names if len(parts_of(name, control)) < 2]
        held = set(hold_out(single, TEST_SHARE, seed))
        seen = set(single) - held
        return {u for u in units if u[0] in seen}, {u for u in units if u[0] in held}
    shared = {name for name in names if sum(u[0] == name for u in units) > 1}
    contexts = sorted({context for name, context in units if name in shared})
    held = set(hold_out(contexts, TEST_SHARE, seed))
    seen = {u for u in units if u[1] not in held}
    # A perturbation that no other context has would be unseen twice over.
    return seen, {u for u in units if u[1] in held and any(u[0] == other for other, _ in seen)}


def _halves(rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    mixed = rng.permutation(rows)
    return np.sort(mixed[: len(rows) // 2]), np.sort(mixed[len(rows) // 2 :])


def _validation(seen: set[Unit], seed: int) -> set[str]:
    names = sorted({name for name, _ in seen})
    return set(hold_out(names, VALIDATION_SHARE, seed + 2)) if len(names) >= LEAST_FOR_VALIDATION else set()


def _cells(data: CellFile, rows: np.ndarray, part: np.ndarray, with_var: bool) -> CellFile:
    out = CellFile(data.obs_names[rows], data.var_names, X=sparse.csr_matrix(data.X[rows]))
    out.obs = {name: data.obs[name][rows] for name in ("batch", "perturbation", "context") if name in data.obs}
    out.obs["part"] = part[rows]
    out.var = dict(data.var) if with_var else {}
    return out


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (training perturbations and half of the controls) and solution (held-out cells, the other controls).

    `unseen_perturbation`: single perturbations held out, in all contexts; combinations take no part.
    `unseen_combination`: see `data.perturbations.combination_parts`. `unseen_context`: whole contexts held out, of
    which the view keeps half of the controls. In the solution `test` marks the cells that are the truth, `validation`
    the other half of each perturbation, of which the ceiling and the oracle are made. Cells that a dataset deals to
    pools (`obs['pool']`: base cells of planted data) are seen or asked for by their pool.

    Raises
    ------
    ContractError
        If nothing is left to learn from or to ask for.
    """
    del query
    control = data.uns["perturbation"]["control"]
    name = data.obs["perturbation"].astype(object)
    has_context = "context" in data.obs
    context = data.obs["context"].astype(object) if has_context else np.full(data.n_obs, ALL, object)
    pool = data.obs.get("pool", np.full(data.n_obs, "", object))
    usable = np.array([n is not None and c is not None for n, c in zip(name, context, strict=True)], bool)
    rng = np.random.default_rng(split_seed)
    part = np.full(data.n_obs, None, object)
    in_view, with_controls = np.zeros(data.n_obs, bool), set()
    for place in sorted(set(context[usable])):
        rows = np.flatnonzero(usable & (name == control) & (context == place))
        ours, theirs = _halves(rows, rng)
        if (pool[rows] != "").any():
            ours, theirs = rows[pool[rows] == "train"], rows[pool[rows] == "test"]
        if min(len(ours), len(theirs)) < 2:
            continue
        with_controls.add(place)
        part[ours], part[theirs], in_view[ours] = "train", "test", True
    where: dict[Unit, np.ndarray] = {}
    for row in np.flatnonzero(usable & (name != control)):
        if context[row] in with_controls:
            where.setdefault((name[row], context[row]), []).append(row)
    units = [unit for unit, rows in sorted(where.items()) if len(rows) >= LEAST_CELLS]
    seen, asked = _asked(units, control, split, split_seed) if len(units) > 1 else (set(), set())
    if not seen or not asked:
        told = f"{len(seen)} perturbations to learn from and {len(asked)} to ask for"
        expected = f"perturbations of {LEAST_CELLS} cells and more, with controls in their context"
        raise ContractError([Problem(f"dataset {dataset}, split {split}", told, expected)])
    chooses = _validation(seen, split_seed)
    for unit in sorted(seen):
        rows = np.array([row for row in where[unit] if pool[row] != "test"], int)
        part[rows], in_view[rows] = "validation" if unit[0] in chooses else "train", True
    for unit in sorted(asked):
        replicate, truth = _halves(np.array([row for row in where[unit] if pool[row] != "train"], int), rng)
        part[replicate], part[truth] = "validation", "test"
    known = np.array([p is not None for p in part], bool)
    view = _cells(data, np.flatnonzero(in_view), part, True)
    solution = _cells(data, np.flatnonzero(known & ~in_view), part, False)
    targets = sorted(asked)
    view.uns = header(data, dataset, ID, split)
    view.uns["perturbation"] = {"control": control, "targets": np.array([n for n, _ in targets], object)}
    if has_context:
        view.uns["perturbation"]["contexts"] = np.array([c for _, c in targets], object)
    solution.uns = header(data, dataset, ID, split)
    return view, solution
