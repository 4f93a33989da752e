"""Expected counts that use no gene of the cell that is asked for: depth alone, noise, and nothing."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Imputed
from sceval.models.imputing import asked_rows, rates
from sceval.models.request import Request
from sceval.training.seed import derive_seed


def mean_total(request: Request) -> Imputed:
    """Share of each gene in all counts, times the total of the cell."""
    rows = asked_rows(request)
    return Imputed(rows, rates(request.view.X, rows))


def poisson_noise(request: Request) -> Imputed:
    """Poisson draws around the mean of each gene, the same for every cell."""
    rows = asked_rows(request)
    mean = np.asarray(request.view.X.mean(axis=0), np.float64).ravel()
    rng = np.random.default_rng(derive_seed(request.seed, "poisson noise"))
    return Imputed(rows, rng.poisson(mean, (len(rows), len(mean))).astype(np.float32))


def zeros(request: Request) -> Imputed:
    """Zero everywhere."""
    rows = asked_rows(request)
    return Imputed(rows, np.zeros((len(rows), request.view.n_vars), np.float32))


CONTROLS = {"mean_total": mean_total, "poisson_noise": poisson_noise, "zeros": zeros}
