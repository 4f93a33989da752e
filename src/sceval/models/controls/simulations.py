"""New cells that know nothing of types."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract.results import Simulated
from sceval.data.global_poisson import global_poisson, poisson_cells
from sceval.models.request import Request
from sceval.models.simulating import asked
from sceval.training.seed import derive_seed


def _sorted_counts(request: Request) -> sparse.csr_matrix:
    """Counts in the order of the cells' ids: draws must not depend on the order of the file."""
    return request.view.X[np.argsort(request.view.obs_names.astype(str), kind="stable")]


def _made(request: Request, name: str, draw) -> Simulated:
    types, batch = asked(request)
    X = draw(_sorted_counts(request), len(types), np.random.default_rng(derive_seed(request.seed, "simulate", name)))
    return Simulated(X, types, batch)


def poisson(request: Request) -> Simulated:
    """Mean of all cells times the total of one of them, with Poisson noise."""
    return _made(request, "poisson", global_poisson)


def _uniform(X: sparse.csr_matrix, n: int, rng: np.random.Generator) -> sparse.csr_matrix:
    return poisson_cells(
        rng.choice(np.asarray(X.sum(axis=1), float).ravel(), n), np.full(X.shape[1], 1 / X.shape[1]), rng
    )


def uniform(request: Request) -> Simulated:
    """Counts thrown on all genes alike, with the total of a training cell."""
    return _made(request, "uniform", _uniform)


def _single(X: sparse.csr_matrix, n: int, rng: np.random.Generator) -> sparse.csr_matrix:
    totals = rng.choice(np.asarray(X.sum(axis=1), float).ravel(), n)
    genes = rng.integers(0, X.shape[1], n)
    return sparse.csr_matrix((totals.astype(np.float32), (np.arange(n), genes)), shape=(n, X.shape[1]))


def single_gene(request: Request) -> Simulated:
    """All counts of a cell on one gene drawn at random."""
    return _made(request, "single", _single)


CONTROLS = {"global_poisson": poisson, "uniform": uniform, "single_gene": single_gene}
