"""The head that every gene embedding gets: multinomial logistic regression on the training genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import GeneClasses
from sceval.metrics.annotation import log_losses
from sceval.tasks import guard
from sceval.training.softmax import fit_softmax

PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
"""Values of C; the validation genes choose. Few genes and wide vectors want strong penalties."""


def probe(view: CellFile, embedding: Path, seed: int) -> tuple[GeneClasses, dict, list[str]]:
    """Return class probabilities of the test genes, the chosen penalty, and what was found.

    Genes without a vector (the model does not know them) are at the mean of the training genes, and counted.
    """
    del seed  # the objective is convex
    X, findings = guard.gene_embedding(embedding, view)
    part, labels = view.var["part"], view.var["gene_class"]
    classes = np.array(sorted({label for label in labels if label is not None}), object)
    codes = np.searchsorted(classes.astype(str), labels.astype(str)).clip(max=len(classes) - 1)
    train, validation, test = (part == name for name in ("train", "validation", "test"))
    chosen = 0.01
    if validation.any():
        losses = []
        for C in PENALTIES:
            head = fit_softmax(X[train], codes[train], len(classes), C)
            losses.append(float(log_losses(head.probability(X[validation]), codes[validation]).mean()))
        chosen = PENALTIES[int(np.argmin(losses))]
    head = fit_softmax(X[train | validation], codes[train | validation], len(classes), chosen)
    return GeneClasses(view.var_names[test], classes, head.probability(X[test])), {"C": chosen}, findings
