"""What the linear and the neural baseline look at: standardized log CP10k of variable genes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import column_moments, log_cp10k
from sceval.models.reference import Reference
from sceval.models.request import NotApplicable, Request


@dataclass(frozen=True)
class Features:
    """Genes (positions in the view, sorted by id), reference rows and query rows, each cells x genes."""

    genes: np.ndarray
    known: np.ndarray
    query: np.ndarray


def features(request: Request, cells: Reference, n_hvg: int, fit: np.ndarray | None = None) -> Features:
    """Return both parts; genes, mean and spread come from reference cells alone.

    Parameters
    ----------
    request, cells
        The call and its reference.
    n_hvg
        Variable genes; all that vary where there are fewer.
    fit
        Positions among the reference cells that choose and scale; all by default.

    Raises
    ------
    NotApplicable
        If no gene varies.
    """
    fit = np.arange(len(cells.rows)) if fit is None else fit
    columns = np.argsort(request.view.var_names.astype(str), kind="stable")
    counts = request.view.X[cells.rows[fit]][:, columns]
    genes = columns[highly_variable_genes(counts, n_hvg)]
    if not len(genes):
        msg = f"no gene varies among the {len(fit)} reference cells"
        raise NotApplicable(msg)
    X = log_cp10k(request.view.X)[:, genes]
    known = X[cells.rows]
    mean, variance = column_moments(known[fit])
    scale = np.sqrt(variance)
    return Features(genes, (known.toarray() - mean) / scale, (X[cells.query].toarray() - mean) / scale)
