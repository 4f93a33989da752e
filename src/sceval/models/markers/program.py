"""`sceval-model` of marker scores."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Annotation
from sceval.data.preprocess import column_moments, log_cp10k
from sceval.models.genes import recognise
from sceval.models.markers.table import CellType, find
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import Reference, reference
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="markers",
    title="Marker genes",
    version="1.0.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    deterministic=True,
    gene_ids="gene_symbol",
    citation="Marker genes in common use, listed by this project",
    params=(
        Param("sharpness", 3.0, "How fast a lower score loses probability, per standard deviation.", 0.01, 100.0),
        Param("least_markers", 2, "Marker genes that a type needs in the data.", 1, 7),
    ),
)


def _types(request: Request, cells: Reference, present: set[str]) -> list[tuple[str, ...] | None]:
    """Marker genes in the data of each class, None where there are too few or the label says nothing."""
    out: list[tuple[str, ...] | None] = []
    matched: dict[str, list[str]] = {}
    for label in cells.classes:
        kind: CellType | None = find(label)
        genes = tuple(gene for gene in kind.genes if gene in present) if kind else ()
        enough = len(genes) >= request.params["least_markers"]
        out.append(genes if enough else None)
        if kind and enough:
            matched.setdefault(kind.name, []).append(label)
    shared = {name: labels for name, labels in matched.items() if len(labels) > 1}
    for name, labels in shared.items():
        request.warn(f"{', '.join(labels)} have the same markers (those of {name}) and cannot be told apart")
    request.facts["types_with_markers"] = {label: name for name, labels in matched.items() for label in labels}
    return out


def _probability(scores: np.ndarray, has: np.ndarray, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities (m x c) and whether a cell looks like no type that has markers (m).

    Where classes lack markers, an average cell (score 0) stands for them, and they share what it gets.
    """
    logits = sharpness * scores
    if not has.all():
        logits = np.column_stack([logits, np.zeros(len(logits))])
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    out = np.zeros((len(scores), len(has)))
    out[:, has] = weights[:, : int(has.sum())]
    if not has.all():
        out[:, ~has] = weights[:, -1:] / int((~has).sum())
    return out, (weights.argmax(axis=1) == has.sum()) & (not has.all())


def annotate(request: Request) -> Annotation:
    """Label query cells by the mean standardized expression of known marker genes; no label of a cell is used."""
    cells = reference(request)
    listed = {gene for label in cells.classes for kind in [find(label)] if kind for gene in kind.genes}
    if not listed:
        msg = f"no label has known markers: {', '.join(map(str, cells.classes[:5]))}"
        raise NotApplicable(msg)
    names = recognise(request, listed, INFO).names
    columns = [column for column, name in enumerate(names) if name is not None]
    X = log_cp10k(request.view.X)[:, columns]
    mean, variance = column_moments(X[cells.rows])
    scale = np.sqrt(variance)
    Z = (X[cells.query].toarray() - mean) / np.where(scale > 0, scale, 1)
    place: dict[str, list[int]] = {}
    for position, column in enumerate(columns):
        if scale[position] > 0:
            place.setdefault(names[column], []).append(position)
    genes = _types(request, cells, set(place))
    has = np.array([item is not None for item in genes])
    if not has.any():
        msg = f"no label has {request.params['least_markers']} markers that vary here: {', '.join(cells.classes[:5])}"
        raise NotApplicable(msg)
    if not has.all():
        request.warn(f"without markers: {', '.join(cells.classes[~has])}; such cells can only be `unassigned`")
    scores = np.column_stack(
        [np.mean([Z[:, place[gene]].mean(axis=1) for gene in item], axis=0) for item in genes if item is not None]
    )
    probability, unlike = _probability(scores, has, request.params["sharpness"])
    prediction = np.asarray(cells.classes, object)[np.where(has, probability, -1).argmax(axis=1)]
    prediction[unlike] = "unassigned"
    return Annotation(cells.query, cells.classes, probability, prediction)


main = program(INFO, {"annotate": annotate})
