"""Labels guessed without a look at any single gene."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Annotation
from sceval.models.controls.embeddings import depth
from sceval.models.reference import Reference
from sceval.models.request import Request
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms


def _prior_rows(cells: Reference) -> np.ndarray:
    return np.tile(cells.prior, (len(cells.query), 1))


def majority(request: Request, cells: Reference) -> Annotation:
    """The most frequent class for everyone; as probability the class frequencies of the reference."""
    return Annotation(cells.query, cells.classes, _prior_rows(cells))


def stratified_random(request: Request, cells: Reference) -> Annotation:
    """A class drawn from the frequencies of the reference, for each cell by itself.

    The probability stays those frequencies: that is what the control believes of each cell, and a draw reported with
    probability 1 would be punished for a confidence that it does not have.
    """
    keys = hash_ids(request.view.obs_names[cells.query])
    uniform = hashed_uniforms(keys, np.zeros(1, int), derive_seed(request.seed, "stratified random"))
    drawn = np.searchsorted(np.cumsum(cells.prior)[:-1], uniform, side="right")
    return Annotation(cells.query, cells.classes, _prior_rows(cells), prediction=cells.classes[drawn])


def log_total(request: Request, cells: Reference) -> Annotation:
    """Softmax regression on log total counts and log detected genes."""
    from sceval.training.softmax import fit_softmax  # its optimizer is slow to import and only this control needs it

    X = depth(request.view)
    head = fit_softmax(X[cells.rows], cells.codes, len(cells.classes))
    return Annotation(cells.query, cells.classes, head.probability(X[cells.query]))


CONTROLS = {"majority": majority, "stratified_random": stratified_random, "log_total": log_total}
