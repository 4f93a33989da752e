"""`sceval-model` of the random projection."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Embedding
from sceval.data.preprocess import log_cp10k
from sceval.models.controls.embeddings import gaussians
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, Request
from sceval.training.seed import derive_seed

INFO = Info(
    name="random_projection",
    title="Random projection of log counts",
    version="1.0.0",
    verbs=("embed-cells",),
    regimes={"embed-cells": ("scratch", "probe")},
    citation="Johnson and Lindenstrauss 1984, Contemp Math 26:189",
    params=(
        Param("width", 64, "Dimensions.", 1, 4096),
        Param("normalize", True, "Project log CP10k; else log1p of the counts as they are."),
    ),
    uses_code_of=("controls",),
)


def embed_cells(request: Request) -> Embedding:
    """Embed cells by fixed random weights on log counts; nothing is learned and no label is seen.

    The weights (standard normal over the root of the width, so that distances are kept on average) belong to the id of
    a gene, so that neither the order of the genes nor other cells change anything.
    """
    view, width = request.view, request.params["width"]
    weights = gaussians(view.var_names, width, derive_seed(request.seed, "random projection")) / np.sqrt(width)
    X = log_cp10k(view.X) if request.params["normalize"] else view.X.astype(np.float64).log1p()
    out = np.asarray(X @ weights)
    empty = np.diff(view.X.indptr) == 0
    if empty.any():
        request.warn(f"{int(empty.sum())} cells have no count; their embedding is NaN")
        out[empty] = np.nan
    return Embedding(out)


main = program(INFO, {"embed-cells": embed_cells})
