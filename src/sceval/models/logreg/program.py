"""`sceval-model` of the linear classifiers of scikit-learn: multinomial logistic regression and a linear SVM."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Annotation
from sceval.models.logreg.features import features
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, Request

INFO = Info(
    name="logreg",
    title="Linear classifier",
    version="1.1.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    deterministic=True,
    uses_labels=("annotate",),
    citation="Cox 1958, J R Stat Soc B 20:215; scikit-learn: Pedregosa et al. 2011, JMLR 12:2825",
    params=(
        Param(
            "classifier",
            "logistic",
            "`logistic`: multinomial logistic regression; `svm`: linear support vector machines, one against the rest.",
            choices=("logistic", "svm"),
        ),
        Param("n_hvg", 2000, "Variable genes; all that vary where there are fewer.", low=2, high=100_000),
        Param("C", 1.0, "Inverse strength of the L2 penalty.", low=1e-6, high=1e6),
        Param("max_iter", 1000, "Largest number of solver iterations.", low=1, high=100_000),
    ),
)


def _logistic(request: Request, known: np.ndarray, codes: np.ndarray, query: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    limit = request.params["max_iter"]
    model = LogisticRegression(C=request.params["C"], max_iter=limit, random_state=request.seed % 2**32)
    model.fit(known, codes)
    if model.n_iter_.max() >= limit:
        request.warn(f"the solver stopped at max_iter = {limit} before it converged")
    return model.predict_proba(query)


def annotate(request: Request) -> Annotation:
    """Label query cells by a linear classifier on standardized log CP10k of variable genes."""
    cells = reference(request)
    found = features(request, cells, request.params["n_hvg"])
    if request.params["classifier"] == "svm":
        from sceval.models.logreg.svm import probabilities

        held = request.part("validation")[cells.rows] if "part" in request.view.obs else np.zeros(len(cells.rows), bool)
        probability = probabilities(request, found.known, cells.codes, found.query, held)
    else:
        probability = _logistic(request, found.known, cells.codes, found.query)
    return Annotation(cells.query, cells.classes, probability)


main = program(INFO, {"annotate": annotate})
