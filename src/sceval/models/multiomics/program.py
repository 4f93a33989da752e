"""`sceval-model` of the simple baselines of multi-omic integration."""

from __future__ import annotations

from sceval.contract.results import Embedding
from sceval.models.multiomics.methods import METHODS
from sceval.models.params import Param
from sceval.models.pca.embed import by_cell_id, restore
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="multiomics",
    title="Components of two modalities",
    version="1.0.0",
    verbs=("integrate",),
    regimes={"integrate": ("scratch",)},
    deterministic=True,
    citation="Butler et al. 2018, Nat Biotechnol 36:411 (CCA); Stuart et al. 2021, Nat Methods 18:1333 (LSI)",
    params=(
        Param(
            "method",
            "concatenated",
            "`concatenated`: PCA of RNA beside LSI of peaks or PCA of proteins (cells with both); `cca`; `scaled_pca`: "
            "PCA of genes standardized inside each modality (rows of two modalities).",
            choices=tuple(METHODS),
        ),
        Param("n_hvg", 2000, "Variable genes; all that vary where there are fewer.", low=2, high=100_000),
        Param("n_components", 20, "Components of each modality.", low=1, high=1000),
    ),
    uses_code_of=("pca",),
)


def integrate(request: Request) -> Embedding:
    """Put the cells of two modalities into one space."""
    if "modality" not in request.view.obs:
        msg = "this view has one modality (no column `modality` in obs)"
        raise NotApplicable(msg)
    order = by_cell_id(request)
    return Embedding(restore(METHODS[request.params["method"]](request, order), order))


main = program(INFO, {"integrate": integrate})
