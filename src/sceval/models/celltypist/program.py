"""`sceval-model` of CellTypist, by the package celltypist; trained on the view, no model of the web."""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract.results import Annotation
from sceval.data.preprocess import log_cp10k
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.quiet import quiet
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="celltypist",
    title="CellTypist",
    version="1.0.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    uses_labels=("annotate",),
    memory_mb=4000,
    licence="MIT (celltypist)",
    citation="Dominguez Conde et al. 2022, Science 376:eabl5197",
    params=(
        Param("C", 1.0, "Inverse strength of the L2 penalty.", low=1e-6, high=1e6),
        Param("max_iter", 0, "Iterations at most; 0 is CellTypist's rule (1000, fewer for large data).", low=0),
        Param("use_SGD", False, "Train by stochastic gradient descent, for large data."),
        Param("feature_selection", False, "Train twice: by gradient descent on all genes, then on the best of them."),
        Param("top_genes", 300, "Genes kept for each class with feature_selection.", low=1, high=100_000),
    ),
)


DENSE_VALUES = 200_000_000
"""With more reference values (cells x genes) than these the mean is not taken off, so that the matrix stays sparse."""

_QUERY_CELLS = 5000


def _celltypist() -> Any:
    """Import the package, with the classifier that it expects of scikit-learn.

    At import it makes a folder for the models of its web site: here a temporary one, taken away at once.
    """
    before = os.environ.get("CELLTYPIST_FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CELLTYPIST_FOLDER"] = folder
        try:
            import celltypist
        finally:
            del os.environ["CELLTYPIST_FOLDER"]
            if before is not None:
                os.environ["CELLTYPIST_FOLDER"] = before
    # `celltypist.train` is a function of the same name as its module.
    from sceval.models.celltypist.classifier import OneAgainstRest

    import_module("celltypist.train").LogisticRegression = OneAgainstRest
    return celltypist


def _train(request: Request, package: Any, X: sparse.csr_matrix, labels: np.ndarray, genes: np.ndarray) -> Any:
    params = request.params
    sparse_scaling = X.shape[0] * X.shape[1] > DENSE_VALUES
    if sparse_scaling:
        request.warn(f"{X.shape[0]} x {X.shape[1]} reference values: scaled without taking the mean off")
    model = package.train(
        X if sparse_scaling else X.toarray(),
        labels,
        genes,
        with_mean=not sparse_scaling,
        check_expression=False,
        C=params["C"],
        max_iter=params["max_iter"] or None,
        use_SGD=params["use_SGD"],
        feature_selection=params["feature_selection"],
        top_genes=params["top_genes"],
        random_state=request.seed % 2**32,
        date="none",
    )
    rounds, limit = int(np.max(model.classifier.n_iter_)), model.classifier.max_iter
    if rounds >= limit:
        request.warn(f"the solver stopped at max_iter = {limit} before it converged")
    request.facts["genes_used"] = len(model.features)
    return model


def _scores(package: Any, model: Any, X: sparse.csr_matrix, genes: np.ndarray) -> np.ndarray:
    """Return the decision scores of cells (m x c), some thousand cells at a time."""
    import anndata
    import pandas as pd

    found = []
    for start in range(0, X.shape[0], _QUERY_CELLS):
        dense = X[start : start + _QUERY_CELLS].toarray()
        cells = anndata.AnnData(dense, var=pd.DataFrame(index=genes))
        found.append(package.annotate(cells, model=model).decision_matrix.to_numpy())
    return np.concatenate(found)


def shares(scores: np.ndarray) -> np.ndarray:
    """Turn one-against-rest scores into probabilities: sigmoid of each, divided by their sum.

    Computed through logarithms: far from every class all sigmoids are 0 in floating point.
    """
    logs = -np.logaddexp(0, -scores)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def annotate(request: Request) -> Annotation:
    """Label query cells by CellTypist's logistic regression, trained on the reference cells of the view."""
    view = request.view
    cells = reference(request)
    columns = np.argsort(view.var_names.astype(str), kind="stable")
    genes = view.var_names[columns].astype(str)
    X = log_cp10k(view.X)[:, columns]
    expressed = int((X[cells.rows].sum(axis=0) > 0).sum())
    if request.params["feature_selection"] and expressed <= request.params["top_genes"]:
        msg = f"feature_selection keeps top_genes = {request.params['top_genes']} of only {expressed} expressed genes"
        raise NotApplicable(msg)
    with quiet():
        package = _celltypist()
        model = _train(request, package, X[cells.rows], cells.classes[cells.codes].astype(str), genes)
        scores = _scores(package, model, X[cells.query], genes)
    return Annotation(cells.query, model.cell_types.astype(object), shares(scores))


main = program(INFO, {"annotate": annotate})
