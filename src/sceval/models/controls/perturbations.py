"""Perturbations predicted without a look at what is perturbed: the anchors that every method has to leave behind."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Perturbed
from sceval.data.perturbations import Screen, mean_shift, moved, targets_of
from sceval.models.request import Request
from sceval.training.seed import derive_seed

CELLS = 64
"""Cells of each target."""


def _screen(request: Request) -> Screen:
    return Screen.of(request.view, str(request.view.uns["perturbation"]["control"]))


def control_mean(request: Request) -> Perturbed:
    """The control cells of the context as they are: nothing changes."""
    screen, targets = _screen(request), targets_of(request.view)
    none = np.zeros((len(targets), screen.logs.shape[1]))
    return moved(request.view, screen, targets, none, CELLS, derive_seed(request.seed, "control cells"))


def perturbed_mean(request: Request) -> Perturbed:
    """The mean change of all training perturbations, for every target."""
    screen, targets = _screen(request), targets_of(request.view)
    units, shifts = screen.shifts()
    made = np.array([mean_shift(units, shifts, context) for _, context in targets])
    return moved(request.view, screen, targets, made, CELLS, derive_seed(request.seed, "control cells"))


def random_perturbed(request: Request) -> Perturbed:
    """Copies of the cells of a training perturbation drawn at random for each target, if possible of its context."""
    screen, targets = _screen(request), targets_of(request.view)
    units, blocks, which = screen.units(), [], []
    for place, (name, context) in enumerate(targets):
        rng = np.random.default_rng(derive_seed(request.seed, "random perturbation", name, context))
        here = [unit for unit in units if unit[1] == context] or units
        rows = screen.rows(*here[int(rng.integers(len(here)))])
        rows = np.sort(rng.permutation(rows)[:CELLS])
        blocks.append(screen.logs[rows].toarray())
        which += [place] * len(rows)
    names = np.array(targets, object)[which]
    return Perturbed(names[:, 0], np.concatenate(blocks), names[:, 1] if "context" in request.view.obs else None)


PERTURBATIONS = {
    "control_mean": control_mean,
    "perturbed_mean": perturbed_mean,
    "random_perturbed": random_perturbed,
}
