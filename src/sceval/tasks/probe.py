"""The probe: one fair head, the same for every model, on an embedding that saw no label."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Annotation
from sceval.metrics.annotation import log_losses
from sceval.training.softmax import fit_softmax

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Values of C, the inverse penalty; the validation part chooses."""


def probe(view: CellFile, X: np.ndarray) -> tuple[Annotation, dict]:
    """Return predictions for the test cells of the view, and what was chosen.

    Multinomial logistic regression on the standardized embedding. The penalty is the one with the lowest log-loss on
    the validation part; the head is then fitted on training and validation part together.

    Parameters
    ----------
    view
        View of cell type annotation.
    X
        Embedding (n x d), finite, in the order of the view.
    """
    part, labels = view.obs["part"], view.obs["cell_type"]
    known = np.array([label is not None for label in labels])
    classes = np.array(sorted(set(labels[known])), object)
    codes = np.searchsorted(classes.astype(str), labels.astype(str)).clip(max=len(classes) - 1)
    train, validation = known & (part == "train"), known & (part == "validation")
    chosen = 1.0
    if validation.any():
        losses = []
        for C in PENALTIES:
            head = fit_softmax(X[train], codes[train], len(classes), C)
            losses.append(float(log_losses(head.probability(X[validation]), codes[validation]).mean()))
        chosen = PENALTIES[int(np.argmin(losses))]
    head = fit_softmax(X[train | validation], codes[train | validation], len(classes), chosen)
    rows = np.flatnonzero(part == "test")
    return Annotation(rows, classes, head.probability(X[rows])), {"C": chosen}
