"""`sceval-model` of the networks that need no model: what edges of attention or of gene vectors have to beat."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Network
from sceval.data.coexpression import absolute_correlation, expression, standardize
from sceval.models.edges import network_of, sources_and_genes
from sceval.models.network_baselines.regression import forests, ridge
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, Request

INFO = Info(
    name="network_baselines",
    title="Networks from expression",
    version="1.0.0",
    verbs=("infer-network",),
    regimes={"infer-network": ("scratch",)},
    matrix=("counts", "binary", "lognorm"),
    memory_mb=2000,
    citation="Baselines of this project; `forests` after Huynh-Thu et al. 2010, PLoS ONE (GENIE3)",
    params=(
        Param(
            "method",
            "correlation",
            "`correlation`: absolute Pearson correlation of log CP10k; `ridge`: each gene regressed on all regulators "
            "at once, absolute standardized coefficients; `forests`: the same by extremely randomized trees (GENIE3).",
            choices=("correlation", "ridge", "forests"),
        ),
        Param("penalty", 0.1, "Penalty of `ridge`, in units of the number of cells.", low=1e-6, high=1000.0),
        Param("trees", 50, "Trees for each gene of `forests`.", low=1, high=10_000),
        Param(
            "most_genes",
            2000,
            "Genes scored, those that most cells express; 5 times as many where the view names regulators.",
            low=2,
            high=50_000,
        ),
        Param("most_edges", 300_000, "Edges written, the highest; 0 = all.", low=0, high=100_000_000),
    ),
)


def infer_network(request: Request) -> Network:
    """Score edges by how expression goes together."""
    params = request.params
    sources, genes = sources_and_genes(request, params["most_genes"])
    order = np.argsort(request.view.obs_names.astype(str), kind="stable")
    Z = standardize(expression(request.view)[order])
    if params["method"] == "correlation":
        score = absolute_correlation(Z, sources, genes)
    elif params["method"] == "ridge":
        score = ridge(Z, sources, genes, params["penalty"])
    else:
        score = forests(Z, sources, genes, params["trees"], request.seed)
    silent = np.ptp(Z, axis=0) == 0
    score[silent[sources]] = np.nan
    score[:, silent[genes]] = np.nan
    if silent[genes].any():
        request.warn(f"{int(silent[genes].sum())} genes have the same value in every cell and no edge")
    return network_of(request, sources, genes, score, params["most_edges"])


main = program(INFO, {"infer-network": infer_network})
