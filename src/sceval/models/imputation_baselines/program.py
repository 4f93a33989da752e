"""`sceval-model` of the imputation baselines."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Imputed
from sceval.models.imputation_baselines import alra, smoothing, spots
from sceval.models.imputation_baselines.normalized import totals
from sceval.models.imputing import asked_rows
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request

CELLS = ("none", "gene_mean", "knn", "alra", "magic")
"""Methods for cells whose own counts are seen."""

SPOTS = ("gene_mean", "knn", "spage", "mapping")
"""Methods for genes that spots lack."""

INFO = Info(
    name="imputation_baselines",
    title="Imputation baselines",
    version="1.0.0",
    verbs=("impute",),
    regimes={"impute": ("scratch",)},
    deterministic=True,
    memory_mb=2000,
    citation="Linderman et al. 2022 (ALRA); van Dijk et al. 2018 (MAGIC); Abdelaal et al. 2020 (SpaGE); own code",
    params=(
        Param(
            "method",
            "knn",
            f"Cells: {', '.join(CELLS)}. Genes that spots lack: {', '.join(SPOTS)}.",
            choices=tuple(dict.fromkeys((*CELLS, *SPOTS))),
        ),
        Param("n_neighbors", 15, "Cells averaged over (the cell itself counted), `knn`, `magic`.", low=1, high=10_000),
        Param("n_components", 20, "Principal components, `knn`, `magic`, `spage`.", low=2, high=1000),
        Param("steps", 3, "Steps of the diffusion, `magic`.", low=1, high=100),
        Param("rank", 0, "Rank of `alra`; 0 chooses it by the paper's rule.", low=0, high=1000),
        Param("spot_neighbors", 50, "Reference cells averaged over, `spage`, and `knn` of spots.", low=1, high=10_000),
        Param("mapping_steps", 60, "Steps of `mapping`; few keep the weights smooth.", low=1, high=10_000),
    ),
)


def _cells(request: Request) -> np.ndarray:
    X, p = request.view.X.tocsr(), request.params
    if p["method"] == "none":
        return X.toarray()
    if p["method"] == "gene_mean":
        return np.broadcast_to(np.asarray(X.mean(axis=0)), X.shape)
    if p["method"] == "alra":
        made, rank = alra.alra(X, p["rank"], request.seed)
        request.facts["rank"] = rank
        return made
    if p["method"] == "magic":
        return smoothing.diffusion(X, p["n_components"], p["n_neighbors"], p["steps"], request.seed)
    return smoothing.knn_mean(X, p["n_components"], p["n_neighbors"], request.seed)


def _spots(request: Request, rows: np.ndarray) -> np.ndarray:
    view, p = request.view, request.params
    X = view.X.tocsr()
    shown = np.flatnonzero(view.var["part"].astype(str) != "test")
    reference, asked = X[np.setdiff1d(np.arange(view.n_obs), rows)], X[rows]
    if p["method"] == "gene_mean":
        return np.broadcast_to(np.asarray(reference.mean(axis=0)), asked.shape)
    if p["method"] == "spage":
        made = spots.spage(reference, asked, shown, p["n_components"], p["spot_neighbors"])
    elif p["method"] == "mapping":
        return spots.mapping(reference, asked, shown, p["mapping_steps"])
    else:
        made = spots.nearest_cells(reference, asked, shown, p["n_components"], p["spot_neighbors"])
    return made * totals(asked)[:, None]


def impute(request: Request) -> Imputed:
    """Impute by a simple method: expected counts of the cells that are asked for."""
    rows, method = asked_rows(request), request.params["method"]
    spatial = "modality" in request.view.obs
    if method not in (SPOTS if spatial else CELLS):
        why = "predicts genes that spots lack" if not spatial else "denoises counts that were measured"
        msg = f"{method} {why}; here: {', '.join(SPOTS if spatial else CELLS)}"
        raise NotApplicable(msg)
    return Imputed(rows, _spots(request, rows) if spatial else _cells(request))


main = program(INFO, {"impute": impute})
