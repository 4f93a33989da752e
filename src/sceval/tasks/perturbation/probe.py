"""The head that every gene embedding gets: bilinear ridge regression on the vectors of the perturbed genes."""

from __future__ import annotations

from pathlib import Path

from sceval.contract import CellFile
from sceval.contract.results import Perturbed
from sceval.data.perturbations import Screen, gene_columns, moved, targets_of
from sceval.tasks import guard
from sceval.training.bilinear import NoVectors, predict_effects


def probe(view: CellFile, embedding: Path, seed: int) -> tuple[Perturbed, dict, list[str]]:
    """Return predicted cells of the targets, the chosen penalty, and what was found.

    Raises
    ------
    guard.NotPossible
        If too few of the perturbed genes are measured: there is no vector to learn from.
    """
    X, findings = guard.gene_embedding(embedding, view)
    control = str(view.uns["perturbation"]["control"])
    screen, targets = Screen.of(view, control), targets_of(view)
    units, shifts = screen.shifts()
    try:
        made, chosen, told = predict_effects(X, gene_columns(view), units, shifts, targets, control)
    except NoVectors as error:
        raise guard.NotPossible(str(error)) from error
    return moved(view, screen, targets, made, seed=seed), chosen, [*findings, *told]
