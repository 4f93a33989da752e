"""Principal components of log CP10k of variable genes, in an order of cells that the file does not decide."""

from __future__ import annotations

import numpy as np

from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k, pca
from sceval.models.params import Param
from sceval.models.request import NotApplicable, Request

PARAMS = (
    Param("n_hvg", 2000, "Variable genes; all that vary where there are fewer.", low=2, high=100_000),
    Param("n_components", 50, "Principal components.", low=1, high=1000),
)


def principal_components(request: Request, order: np.ndarray) -> np.ndarray:
    """Return the scores (n x k) of the cells in the given order.

    Raises
    ------
    NotApplicable
        If fewer than two cells or two varying genes are left.
    """
    counts = request.view.X[order]
    genes = highly_variable_genes(counts, request.params["n_hvg"])
    if len(genes) < 2 or len(order) < 2:
        msg = f"{len(order)} cells with {len(genes)} varying genes; PCA needs at least two of each"
        raise NotApplicable(msg)
    if len(genes) < min(request.params["n_hvg"], request.view.n_vars):
        request.warn(f"{len(genes)} genes vary at all and were used, of the {request.params['n_hvg']} asked for")
    wanted = request.params["n_components"]
    scores = pca(log_cp10k(counts)[:, genes], wanted, request.seed)[0]
    if scores.shape[1] < wanted:
        request.warn(f"{scores.shape[1]} components instead of {wanted}: {len(order)} cells x {len(genes)} genes")
    return scores


def by_cell_id(request: Request) -> np.ndarray:
    """Return the positions of the cells sorted by id."""
    return np.argsort(request.view.obs_names.astype(str), kind="stable")


def restore(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Put rows that follow `order` back into the order of the view."""
    out = np.empty_like(values)
    out[order] = values
    return out
