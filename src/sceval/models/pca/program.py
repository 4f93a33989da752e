"""`sceval-model` of the PCA baseline."""

from __future__ import annotations

from sceval.contract.results import Embedding
from sceval.models.pca.embed import PARAMS, by_cell_id, principal_components, restore
from sceval.models.program import program
from sceval.models.request import Info, Request

INFO = Info(
    name="pca",
    title="HVG + PCA (unintegrated)",
    version="1.0.0",
    verbs=("embed-cells",),
    regimes={"embed-cells": ("scratch", "probe")},
    deterministic=True,
    citation="Pearson 1901; variable genes: Stuart et al. 2019, Cell 177:1888",
    params=PARAMS,
)


def embed_cells(request: Request) -> Embedding:
    """Embed cells by the principal components of log CP10k of variable genes; batches are not looked at."""
    order = by_cell_id(request)
    return Embedding(restore(principal_components(request, order), order))


main = program(INFO, {"embed-cells": embed_cells})
