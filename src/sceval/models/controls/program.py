"""`sceval-model` of the controls; imports neither torch nor pandas, because it starts hundreds of times."""

from __future__ import annotations

from collections.abc import Callable

from sceval.contract.results import (
    Annotation,
    Embedding,
    GeneClasses,
    GeneEmbedding,
    Imputed,
    Network,
    Perturbed,
    Simulated,
)
from sceval.models.controls import annotations, embeddings, genes, imputations, networks, perturbations, simulations
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request

_TABLES = {
    "embed-cells": embeddings.CONTROLS,
    "annotate": annotations.CONTROLS,
    "embed-genes": genes.EMBEDDINGS,
    "classify-genes": genes.CLASSES,
    "infer-network": networks.CONTROLS,
    "perturb": perturbations.PERTURBATIONS,
    "simulate": simulations.CONTROLS,
    "impute": imputations.CONTROLS,
}
"""Verb -> its controls by name."""

_NEED_COUNTS = ("log_total", "untrained")
"""Controls that read counts; the others take any matrix."""

INFO = Info(
    name="controls",
    title="Controls",
    version="1.0.0",
    verbs=tuple(_TABLES),
    regimes={verb: ("scratch", "probe") if verb == "embed-cells" else ("scratch",) for verb in _TABLES},
    matrix=("counts", "binary", "lognorm"),
    uses_labels=("annotate", "classify-genes", "perturb", "simulate"),
    memory_mb=1000,
    citation="Negative controls of this project",
    params=(
        Param(
            "control",
            "log_total",
            "; ".join(f"{verb} has {', '.join(table)}" for verb, table in _TABLES.items()) + ".",
            choices=tuple(dict.fromkeys(name for table in _TABLES.values() for name in table)),
        ),
    ),
)


def _pick(request: Request, verb: str) -> Callable:
    name, table = request.params["control"], _TABLES[verb]
    if name not in table:
        msg = f"control {name!r} does not do {verb}; those that do: {', '.join(table)}"
        raise NotApplicable(msg)
    matrix = request.view.uns["sceval"]["matrix"]
    if name in _NEED_COUNTS and matrix == "lognorm":
        msg = f"control {name!r} reads counts and this matrix holds {matrix}"
        raise NotApplicable(msg)
    return table[name]


def embed_cells(request: Request) -> Embedding:
    """Embed cells by a control."""
    return Embedding(_pick(request, "embed-cells")(request))


def annotate(request: Request) -> Annotation:
    """Guess labels by a control."""
    control = _pick(request, "annotate")
    return control(request, reference(request))


def embed_genes(request: Request) -> GeneEmbedding:
    """Embed genes by a control."""
    return GeneEmbedding(request.view.var_names, _pick(request, "embed-genes")(request))


def classify_genes(request: Request) -> GeneClasses:
    """Guess classes of genes by a control."""
    return _pick(request, "classify-genes")(request)


def perturb(request: Request) -> Perturbed:
    """Predict perturbations by a control."""
    return _pick(request, "perturb")(request)


def infer_network(request: Request) -> Network:
    """Score edges by a control."""
    return _pick(request, "infer-network")(request)


def simulate(request: Request) -> Simulated:
    """Make new cells by a control."""
    return _pick(request, "simulate")(request)


def impute(request: Request) -> Imputed:
    """Impute by a control."""
    return _pick(request, "impute")(request)


main = program(
    INFO,
    {
        "embed-cells": embed_cells,
        "annotate": annotate,
        "embed-genes": embed_genes,
        "classify-genes": classify_genes,
        "infer-network": infer_network,
        "perturb": perturb,
        "simulate": simulate,
        "impute": impute,
    },
)
