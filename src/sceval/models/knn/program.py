"""`sceval-model` of k-nearest neighbours."""

from __future__ import annotations

from sceval.contract.results import Annotation
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import fit_pca, log_cp10k
from sceval.models.knn.vote import nearest, shares
from sceval.models.params import Param
from sceval.models.pca.embed import PARAMS
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="knn",
    title="k-nearest neighbours",
    version="1.0.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    deterministic=True,
    uses_labels=("annotate",),
    citation="Cover and Hart 1967, IEEE Trans Inf Theory 13:21",
    params=(
        *PARAMS,
        Param("k", 15, "Neighbours that vote.", low=1, high=1000),
        Param("weights", "uniform", "Weight of a vote.", choices=("uniform", "distance")),
    ),
    uses_code_of=("pca",),
)


def annotate(request: Request) -> Annotation:
    """Label query cells by their nearest reference cells in a PCA of the reference."""
    cells = reference(request)
    X = log_cp10k(request.view.X)
    known = X[cells.rows]
    genes = highly_variable_genes(
        request.view.X[cells.rows], request.params["n_hvg"]
    )  # test cells must not choose the genes
    if len(genes) < 2:
        msg = f"{len(genes)} genes vary among the {len(cells.rows)} reference cells; PCA needs at least two"
        raise NotApplicable(msg)
    fitted = fit_pca(known[:, genes], request.params["n_components"], request.seed)
    k = min(request.params["k"], len(cells.rows))
    if k < request.params["k"]:
        request.warn(f"{k} neighbours instead of {request.params['k']}: there are {k} reference cells")
    positions, distances = nearest(fitted.transform(known[:, genes]), fitted.transform(X[cells.query][:, genes]), k)
    probability = shares(cells.codes[positions], distances, cells.prior, request.params["weights"])
    return Annotation(cells.query, cells.classes, probability)


main = program(INFO, {"annotate": annotate})
