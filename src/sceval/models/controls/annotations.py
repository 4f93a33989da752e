"""Labels guessed without a look at any single gene."""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

from sceval.models.controls.embeddings import depth
from sceval.models.reference import Reference
from sceval.models.request import Annotation, Request
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms

_RIDGE = 1e-3
"""Penalty of the softmax weights, per cell: keeps separable classes from running to infinity."""


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


def fit_softmax(X: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the weights ((d + 1) x classes, last row the intercept) of a multinomial logistic regression.

    Maximum likelihood with a small ridge on the slopes; see Bishop, Pattern Recognition and Machine Learning, 4.3.4.
    """
    n, d = X.shape
    inputs = np.column_stack([X, np.ones(n)])
    target = np.eye(n_classes)[codes]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(d + 1, n_classes)
        log_probability = special.log_softmax(inputs @ weights, axis=1)
        slopes = weights[:-1]
        value = -(target * log_probability).sum() / n + _RIDGE / 2 * (slopes**2).sum()
        gradient = inputs.T @ (np.exp(log_probability) - target) / n
        gradient[:-1] += _RIDGE * slopes
        return value, gradient.ravel()

    start = np.zeros((d + 1, n_classes))
    start[-1] = np.log(np.bincount(codes, minlength=n_classes) / n)
    options = {"maxiter": 1000, "gtol": 1e-8, "ftol": 1e-14}
    found = optimize.minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(d + 1, n_classes)


def log_total(request: Request, cells: Reference) -> Annotation:
    """Softmax regression on log total counts and log detected genes."""
    X = depth(request.view)
    center, spread = X[cells.rows].mean(axis=0), X[cells.rows].std(axis=0)
    X = (X - center) / np.where(spread > 0, spread, 1.0)
    weights = fit_softmax(X[cells.rows], cells.codes, len(cells.classes))
    score = X[cells.query] @ weights[:-1] + weights[-1]
    return Annotation(cells.query, cells.classes, special.softmax(score, axis=1))


CONTROLS = {"majority": majority, "stratified_random": stratified_random, "log_total": log_total}
