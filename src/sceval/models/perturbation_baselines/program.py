"""`sceval-model` of the perturbation baselines: what a model of perturbations has to beat."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Perturbed
from sceval.data.perturbations import Screen, Unit, gene_columns, moved, parts_of, targets_of
from sceval.models.genestats.program import coexpression
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request
from sceval.training.bilinear import NoVectors, per_gene_effect, predict_effects

INFO = Info(
    name="perturbation_baselines",
    title="Perturbation baselines",
    version="1.0.0",
    verbs=("perturb",),
    regimes={"perturb": ("scratch",)},
    matrix=("counts", "lognorm"),
    uses_labels=("perturb",),
    memory_mb=2000,
    citation="Ahlmann-Eltze et al. 2025 (additive, bilinear); after Roohani et al. 2024 (graph)",
    params=(
        Param(
            "method",
            "bilinear",
            "`additive`: sum of the changes of its parts; `bilinear`: ridge regression on co-expression vectors of the "
            "perturbed genes; `graph`: message passing over a co-expression graph, after GEARS.",
            choices=("additive", "bilinear", "graph"),
        ),
        Param("n_components", 10, "Components of the gene vectors and of the effects.", low=1, high=200),
        Param("neighbors", 10, "`graph`: genes that each gene is joined with.", low=1, high=200),
        Param("width", 32, "`graph`: size of the hidden layers.", low=4, high=1024),
        Param("epochs", 200, "`graph`: passes over the training perturbations.", low=1, high=10000),
        Param("cells", 64, "Cells written for each target; 1: its mean alone.", low=1, high=10000),
    ),
    uses_code_of=("genestats",),
)

Made = tuple[np.ndarray, list[str]]


def additive(
    request: Request, units: list[Unit], shifts: np.ndarray, targets: list[Unit], control: str, X: np.ndarray
) -> Made:
    """The change of the same perturbation in other contexts, else the sum of the changes of its parts.

    A part that was never perturbed counts as the change that every perturbed gene makes.
    """
    del request, X
    counts = np.array([max(len(parts_of(name, control)), 1) for name, _ in units], float)
    out, unseen, blank = [], 0, 0
    for name, context in targets:
        parts = parts_of(name, control)
        same = [i for i, unit in enumerate(units) if parts_of(unit[0], control) == parts]
        if same:
            out.append(shifts[same].mean(axis=0))
            continue
        total = np.zeros(shifts.shape[1])
        known = 0
        for part in parts:
            rows = [i for i, unit in enumerate(units) if parts_of(unit[0], control) == (part,)]
            own = [i for i in rows if units[i][1] == context] or rows
            known += bool(own)
            total += shifts[own].mean(axis=0) if own else per_gene_effect(units, shifts, counts, context)
        unseen += known < len(parts)
        blank += known == 0
        out.append(total)
    if blank == len(targets):
        msg = "no part of any target was perturbed among the training cells: there is nothing to add up"
        raise NotApplicable(msg)
    told = (
        f"{unseen} of {len(targets)} targets have a part that was never perturbed; it counts as the mean change of one"
    )
    return np.array(out), [told] if unseen else []


def bilinear(
    request: Request, units: list[Unit], shifts: np.ndarray, targets: list[Unit], control: str, X: np.ndarray
) -> Made:
    """Ridge regression of the changes on co-expression vectors of the perturbed genes."""
    try:
        made, chosen, told = predict_effects(
            X, gene_columns(request.view), units, shifts, targets, control, request.params["n_components"]
        )
    except NoVectors as error:
        raise NotApplicable(str(error)) from error
    request.facts.update(chosen)
    return made, told


def graph(
    request: Request, units: list[Unit], shifts: np.ndarray, targets: list[Unit], control: str, X: np.ndarray
) -> Made:
    """Message passing over a graph of co-expressed genes, with the loss of GEARS."""
    from sceval.models.perturbation_baselines.graph import predict_by_graph

    return predict_by_graph(request, units, shifts, targets, control, X)


METHODS = {"additive": additive, "bilinear": bilinear, "graph": graph}


def perturb(request: Request) -> Perturbed:
    """Predict expression after perturbations: control cells, moved by the predicted change."""
    view = request.view
    control = str(view.uns["perturbation"]["control"])
    screen, targets = Screen.of(view, control), targets_of(view)
    units, shifts = screen.shifts()
    method = request.params["method"]
    X = np.empty((0, 0)) if method == "additive" else coexpression(request)
    made, told = METHODS[method](request, units, shifts, targets, control, X)
    for sentence in told:
        request.warn(sentence)
    return moved(view, screen, targets, made, request.params["cells"], request.seed)


main = program(INFO, {"perturb": perturb})
