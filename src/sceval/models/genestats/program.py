"""`sceval-model` of the gene vectors that need no model: what a pre-trained gene embedding has to beat."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import GeneEmbedding
from sceval.data.preprocess import fit_pca, log_cp10k
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, Request

INFO = Info(
    name="genestats",
    title="Gene statistics",
    version="1.0.0",
    verbs=("embed-genes",),
    regimes={"embed-genes": ("scratch",)},
    deterministic=True,
    matrix=("counts", "binary"),
    memory_mb=1000,
    citation="Baselines of this project",
    params=(
        Param(
            "vectors",
            "expression",
            "`expression`: log mean and detection rate; `coexpression`: loadings of principal components.",
            choices=("expression", "coexpression"),
        ),
        Param(
            "n_components",
            10,
            "Principal components of `coexpression`; more is noise to a head on a few hundred genes.",
            low=2,
            high=1000,
        ),
    ),
)


def expression(request: Request) -> np.ndarray:
    """Log mean count, detection rate, and their squares: g x 4. A class told by these is told by depth alone."""
    X = request.view.X
    mean = np.log1p(np.asarray(X.mean(axis=0)).ravel())
    rate = np.asarray((X != 0).mean(axis=0)).ravel()
    return np.column_stack([mean, rate, mean**2, rate**2])


def coexpression(request: Request) -> np.ndarray:
    """Loadings of the principal components of standardized log CP10k, times their standard deviations: g x k."""
    order = np.argsort(request.view.obs_names.astype(str), kind="stable")
    X = log_cp10k(request.view.X[order])
    mean = np.asarray(X.mean(axis=0)).ravel()
    spread = np.sqrt(np.maximum(np.asarray(X.multiply(X).mean(axis=0)).ravel() - mean**2, 0))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    fitted = fit_pca(X.multiply(scale[None, :]).tocsr(), request.params["n_components"], request.seed)
    return fitted.components * np.sqrt(fitted.variance)


def embed_genes(request: Request) -> GeneEmbedding:
    """Describe each gene by its expression, or by the genes that it goes with."""
    make = {"expression": expression, "coexpression": coexpression}[request.params["vectors"]]
    return GeneEmbedding(request.view.var_names, make(request))


main = program(INFO, {"embed-genes": embed_genes})
