"""Linear support vector machines, one class against the rest, with probabilities."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import log_softmax, softmax

from sceval.models.request import Request

TEMPERATURES = np.geomspace(0.02, 5.0, 60)
"""What the margins may be divided by."""


def temperature(margins: np.ndarray, codes: np.ndarray) -> float:
    """Return what to divide margins by so that their softmax has the lowest log-loss (Guo et al. 2017, ICML).

    Parameters
    ----------
    margins
        n x c, of cells that the machines did not see.
    codes
        True class of each, n.
    """
    rows = np.arange(len(codes))
    losses = [-log_softmax(margins / t, axis=1)[rows, codes].mean() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _margins(request: Request, known: np.ndarray, codes: np.ndarray, query: np.ndarray, n_classes: int) -> np.ndarray:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    limit = request.params["max_iter"]
    model = LinearSVC(C=request.params["C"], max_iter=limit, random_state=request.seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told below
        model.fit(known, codes)
    if np.max(model.n_iter_) >= limit:
        request.warn(f"the solver stopped at max_iter = {limit} before it converged")
    found = model.decision_function(query)
    if found.ndim == 1:
        found = np.column_stack([-found, found])
    out = np.full((len(query), n_classes), found.min() - 10.0)  # a class that these rows lack
    out[:, model.classes_] = found
    return out


def probabilities(
    request: Request, known: np.ndarray, codes: np.ndarray, query: np.ndarray, held: np.ndarray
) -> np.ndarray:
    """Return class probabilities of query cells, m x c: a softmax of the margins over a temperature.

    The machines have no probabilities of their own. The temperature is chosen on the validation part by machines that
    did not see it; the final ones see the whole reference. Without a validation part it is 1, which is told.

    Parameters
    ----------
    request
        Gives `C`, `max_iter`, the seed, and takes the warnings.
    known, query
        Standardized expression, cells x genes.
    codes
        Class of each reference cell.
    held
        True for reference cells of the validation part.
    """
    n_classes = int(codes.max()) + 1
    chosen = 1.0
    if held.any() and len(np.unique(codes[~held])) > 1:
        chosen = temperature(_margins(request, known[~held], codes[~held], known[held], n_classes), codes[held])
    else:
        request.warn(
            "there is no validation part to choose a temperature on; probabilities are a softmax of the margins"
        )
    request.facts["temperature"] = round(chosen, 4)
    return softmax(_margins(request, known, codes, query, n_classes) / chosen, axis=1)
