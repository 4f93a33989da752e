"""Which cells an annotating model may learn from and which it is asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sceval.models.request import NotApplicable, Request


@dataclass(frozen=True)
class Reference:
    """Labelled cells and query cells of a view.

    Attributes
    ----------
    rows
        Positions of the reference cells, sorted by cell id, so that nothing fitted on them depends on the file's order.
    codes
        Class of each reference cell, as a position in `classes`.
    classes
        Sorted names of the classes seen in the reference.
    query
        Positions of the query cells, in the order of the view.
    """

    rows: np.ndarray
    codes: np.ndarray
    classes: np.ndarray
    query: np.ndarray

    @property
    def prior(self) -> np.ndarray:
        """Share of each class among the reference cells."""
        return np.bincount(self.codes, minlength=len(self.classes)) / len(self.codes)


def reference(request: Request) -> Reference:
    """Return reference (parts train and validation, with a label) and query cells (part test).

    Raises
    ------
    NotApplicable
        If the view has no labels, fewer than two classes, or no query cell.
    """
    view = request.view
    if "cell_type" not in view.obs:
        msg = "the view has no column `cell_type` in obs, so there is nothing to learn labels from"
        raise NotApplicable(msg)
    labels = view.obs["cell_type"]
    labelled = np.array([label is not None for label in labels], bool)
    split = "part" in view.obs
    known = request.part("train", "validation") if split else labelled
    query = np.flatnonzero(request.part("test") if split else ~labelled)
    rows = np.flatnonzero(known & labelled)
    if skipped := int((known & ~labelled).sum()):
        request.warn(f"{skipped} reference cells have no label and were left out of the reference")
    rows = rows[np.argsort(view.obs_names[rows].astype(str), kind="stable")]
    classes, codes = np.unique(labels[rows].astype(str), return_inverse=True)
    if len(classes) < 2:
        found = f"one class ({str(classes[0])!r})" if len(classes) else "no labelled cell"
        msg = f"the reference holds {found}; annotation needs at least two classes"
        raise NotApplicable(msg)
    if not len(query):
        msg = "the view has no query cell (part `test`)"
        raise NotApplicable(msg)
    return Reference(rows, codes, classes.astype(object), query)
