"""`sceval-model` of the controls; imports neither torch nor pandas, because it starts hundreds of times."""

from __future__ import annotations

from sceval.contract.results import Annotation, Embedding
from sceval.models.controls import annotations, embeddings
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request

_CHOICES = tuple(dict.fromkeys([*embeddings.CONTROLS, *annotations.CONTROLS]))

INFO = Info(
    name="controls",
    title="Controls",
    version="1.0.0",
    verbs=("embed-cells", "annotate"),
    regimes={"embed-cells": ("scratch", "probe"), "annotate": ("scratch",)},
    matrix=("counts", "binary"),
    uses_labels=("annotate",),
    memory_mb=1000,
    citation="Negative controls of this project",
    params=(
        Param(
            "control",
            "log_total",
            f"embed-cells has {', '.join(embeddings.CONTROLS)}; annotate has {', '.join(annotations.CONTROLS)}.",
            choices=_CHOICES,
        ),
    ),
)


def _pick(request: Request, verb: str, table: dict) -> object:
    name = request.params["control"]
    if name not in table:
        msg = f"control {name!r} does not do {verb}; those that do: {', '.join(table)}"
        raise NotApplicable(msg)
    return table[name]


def embed_cells(request: Request) -> Embedding:
    """Embed cells by a control."""
    return Embedding(_pick(request, "embed-cells", embeddings.CONTROLS)(request))


def annotate(request: Request) -> Annotation:
    """Guess labels by a control."""
    control = _pick(request, "annotate", annotations.CONTROLS)
    return control(request, reference(request))


main = program(INFO, {"embed-cells": embed_cells, "annotate": annotate})
