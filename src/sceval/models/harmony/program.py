"""`sceval-model` of Harmony, by the package harmonypy."""

from __future__ import annotations

import os

import numpy as np

from sceval.contract.results import Embedding
from sceval.models.params import Param
from sceval.models.pca.embed import PARAMS, by_cell_id, principal_components, restore
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="harmony",
    title="Harmony",
    version="1.0.0",
    verbs=("integrate",),
    regimes={"integrate": ("scratch",)},
    licence="GPL-3.0-or-later (harmonypy)",
    citation="Korsunsky et al. 2019, Nat Methods 16:1289",
    params=(
        *PARAMS,
        Param("theta", 2.0, "Diversity penalty: larger values mix batches more.", low=0.0, high=100.0),
        Param("max_iter", 10, "Largest number of Harmony rounds.", low=1, high=200),
    ),
    uses_code_of=("pca",),
)

_CELLS_PER_CLUSTER = 30


def integrate(request: Request) -> Embedding:
    """Correct the principal components of variable genes for batch."""
    if "batch" not in request.view.obs:
        msg = "Harmony corrects for batch and this view has no column `batch` in obs"
        raise NotApplicable(msg)
    # Harmony starts from random cells by position; with the cells sorted by id the file's order changes nothing.
    order = by_cell_id(request)
    batch = request.view.obs["batch"][order].astype(str)
    names = np.unique(batch)
    if len(names) < 2:
        msg = f"all cells are of one batch ({str(names[0])!r}), there is nothing to integrate"
        raise NotApplicable(msg)
    scores = principal_components(request, order)

    import harmonypy

    rounds = request.params["max_iter"]
    found = harmonypy.run_harmony(
        scores,
        {"batch": batch},
        "batch",
        theta=request.params["theta"],
        nclust=int(
            np.clip(round(len(scores) / _CELLS_PER_CLUSTER), 2, 100)
        ),  # the package's own rule gives 0 or 1 below
        max_iter_harmony=rounds,
        random_state=request.seed % 2**31,
        ncores=int(os.environ.get("OMP_NUM_THREADS") or 0),
        verbose=False,
    )
    corrected = np.asarray(found.Z_corr)
    if len(found.kmeans_rounds) >= rounds:
        request.warn(f"Harmony used all {rounds} rounds that it was allowed (max_iter)")
    return Embedding(restore(corrected, order))


main = program(INFO, {"integrate": integrate})
