"""`sceval-model` of multinomial logistic regression, by scikit-learn."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Annotation
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import column_moments, log_cp10k
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="logreg",
    title="Logistic regression",
    version="1.0.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    deterministic=True,
    uses_labels=("annotate",),
    citation="Cox 1958, J R Stat Soc B 20:215; scikit-learn: Pedregosa et al. 2011, JMLR 12:2825",
    params=(
        Param("n_hvg", 2000, "Variable genes; all that vary where there are fewer.", low=2, high=100_000),
        Param("C", 1.0, "Inverse strength of the L2 penalty.", low=1e-6, high=1e6),
        Param("max_iter", 1000, "Largest number of solver iterations.", low=1, high=100_000),
    ),
)


def annotate(request: Request) -> Annotation:
    """Label query cells by a multinomial logistic regression on standardized log CP10k of variable genes."""
    cells = reference(request)
    X = log_cp10k(request.view.X)
    known = X[cells.rows]
    # Genes, mean and spread come from reference cells alone.
    genes = highly_variable_genes(request.view.X[cells.rows], request.params["n_hvg"])
    if not len(genes):
        msg = f"no gene varies among the {len(cells.rows)} reference cells"
        raise NotApplicable(msg)
    mean, variance = column_moments(known[:, genes])
    known = (known[:, genes].toarray() - mean) / np.sqrt(variance)
    query = (X[cells.query][:, genes].toarray() - mean) / np.sqrt(variance)

    from sklearn.linear_model import LogisticRegression

    limit = request.params["max_iter"]
    model = LogisticRegression(C=request.params["C"], max_iter=limit, random_state=request.seed % 2**32)
    model.fit(known, cells.codes)
    if model.n_iter_.max() >= limit:
        request.warn(f"the solver stopped at max_iter = {limit} before it converged")
    return Annotation(cells.query, cells.classes, model.predict_proba(query))


main = program(INFO, {"annotate": annotate})
