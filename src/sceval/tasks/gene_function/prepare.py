"""The split over genes: what a model may know of their classes, and what it is asked."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile, ContractError, Problem
from sceval.data.needs import LEAST_GENES
from sceval.tasks.gene_function.classes import gene_classes
from sceval.tasks.views import solution_of, view_of

ID = "gene_function"

TEST_SHARE, VALIDATION_SHARE = 0.3, 0.1
"""Share of the genes of each class that is asked for, and that picks what has to be picked."""


def _parts(classes: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Deal whole groups of genes to test, validation and training, class by class, the largest groups first."""
    rng = np.random.default_rng(seed)
    part = np.full(len(classes), None, object)
    members: dict[str, list[int]] = {}
    for row in np.flatnonzero([name is not None for name in classes]):
        members.setdefault(groups[row], []).append(int(row))
    names = sorted(members)
    order = sorted(rng.permutation(len(names)), key=lambda i: -len(members[names[i]]))
    total = {name: int((classes == name).sum()) for name in set(classes) - {None}}
    have = {(which, name): 0 for which in ("test", "validation") for name in total}
    for number in order:
        rows = members[names[number]]
        majority = max(sorted({classes[row] for row in rows}), key=[classes[row] for row in rows].count)
        which = "train"
        for candidate, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
            # A family larger than what is still wanted goes to training: it would be most of the test part.
            if have[candidate, majority] + len(rows) <= max(round(share * total[majority]), 1):
                which = candidate
                break
        for row in rows:
            part[row] = which
            if which != "train":
                have[which, classes[row]] += 1
    return part


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (all cells, classes of training and validation genes) and solution (classes of all genes).

    `genes`: 70/30 stratified by class. `families`: whole families of genes in one part.

    Raises
    ------
    ContractError
        If a part has fewer than two classes.
    """
    del query
    classes, families = gene_classes(data)
    small = [name for name in sorted(set(classes) - {None}) if (classes == name).sum() < LEAST_GENES]
    classes[np.isin(classes.astype(str), small)] = None
    groups = families if split == "families" else data.var_names
    part = _parts(classes, groups.astype(str), split_seed)
    for which in ("train", "test"):
        found = sorted(set(classes[part == which]) - {None})
        if len(found) < 2:
            told = f"{len(found)} classes with {LEAST_GENES} genes and more in the {which} part"
            raise ContractError([Problem(f"dataset {dataset}, split {split}", told, "at least two")])
    view = view_of(data, dataset, ID, split)
    view.var |= {"gene_class": np.where(part == "test", None, classes), "part": part}
    solution = solution_of(data, dataset, ID, split)
    solution.var_names = data.var_names
    solution.var |= {"gene_class": classes, "part": part, "family": families}
    return view, solution
