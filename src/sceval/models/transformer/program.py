"""`sceval-model` of a transformer: the shared verbs, and those that a model adds.

A program is an `Info` and one call::

    MODEL = Transformer(INFO, __package__, recipes={"annotate": {"lr": 5e-5}, ("annotate", "frozen"): {"lr": 1e-3}})
    main = transformer_program(MODEL)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click
import numpy as np

from sceval.contract.results import Annotation, Embedding, GeneClasses, GeneEmbedding
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import NotApplicable, Request, Verb
from sceval.models.transformer.problems import CheckpointError, NoKnownGenes, UnfitCheckpoint
from sceval.models.transformer.session import Session as Session
from sceval.models.transformer.session import Transformer as Transformer


def guarded(verb: Callable[[Request], Any]) -> Verb:
    """Wrap a verb: what makes dataset or checkpoint unfit is told as a reason or message, not as a traceback."""

    @wraps(verb)
    def run(request: Request) -> Any:
        try:
            return verb(request)
        except (NoKnownGenes, UnfitCheckpoint) as error:
            raise NotApplicable(str(error)) from error
        except CheckpointError as error:
            raise click.ClickException(str(error)) from error

    return run


def _embed_cells(model: Transformer, request: Request) -> Embedding:
    """Embed cells: one vector for each cell."""
    session = Session.of(model, "embed-cells", request)
    from sceval.models.transformer.embed import embed_cells

    return Embedding(embed_cells(session))


def _embed_genes(model: Transformer, request: Request) -> GeneEmbedding:
    """Embed genes: the network's own vectors, or means over the cells in which a gene occurs."""
    session = Session.of(model, "embed-genes", request)
    from sceval.models.transformer.genes import embed_genes

    return embed_genes(session)


def _annotate(model: Transformer, request: Request) -> Annotation:
    """Label query cells with a classifier on the network, trained on the reference cells."""
    cells = reference(request)
    session = Session.of(model, "annotate", request)
    from sceval.models.transformer.annotate import annotate_cells
    from sceval.training.progress import ProgressLines

    n = request.view.n_obs
    labels = np.full(n, -1, np.int64)
    labels[cells.rows] = cells.codes
    wanted = np.zeros(n, bool)
    wanted[cells.query] = True
    chosen = request.part("validation") if "part" in request.view.obs else np.zeros(n, bool)
    result = annotate_cells(
        session,
        labels,
        len(cells.classes),
        validation=chosen if (chosen & (labels >= 0)).any() else None,
        wanted=wanted,
        on_progress=ProgressLines(f"{model.info.name} annotate"),
    )
    probability = result.probability[cells.query]
    prediction = np.asarray(cells.classes, object)[probability.argmax(axis=1)]
    prediction[~result.known[cells.query]] = "unassigned"
    return Annotation(cells.query, cells.classes, probability, prediction)


def _classify_genes(model: Transformer, request: Request) -> GeneClasses:
    """Classify genes: fine-tune a head on their vectors in all cells."""
    session = Session.of(model, "classify-genes", request)
    from sceval.models.transformer.classify_genes import classify_genes, labelled_genes
    from sceval.training.progress import ProgressLines

    genes = labelled_genes(request.view, session.columns)
    return classify_genes(session, genes, on_progress=ProgressLines(f"{model.info.name} classify-genes"))


SHARED: dict[str, Callable[[Transformer, Request], Any]] = {
    "embed-cells": _embed_cells,
    "embed-genes": _embed_genes,
    "annotate": _annotate,
    "classify-genes": _classify_genes,
}
"""Verbs that every transformer gets."""


def _bound(verb: Callable[[Transformer, Request], Any], model: Transformer) -> Callable[[Request], Any]:
    def run(request: Request) -> Any:
        return verb(model, request)

    run.__doc__ = verb.__doc__
    return run


def transformer_program(model: Transformer, verbs: Mapping[str, Verb] | None = None) -> Callable[[], None]:
    """Return the entry point of a transformer's program.

    Parameters
    ----------
    model
        Its `info.verbs` decide which shared verbs there are; `info.uses_code_of` must name `transformer`, so that a
        change of the shared code changes the digest of the model's code.
    verbs
        Verbs of the model's own, by name; one of the same name takes the place of the shared verb. Written on top of
        `Session`; their errors are told as those of the shared verbs are.

    Raises
    ------
    ValueError
        The info names a verb that is neither shared nor given, or does not name `transformer`.
    """
    info, own = model.info, dict(verbs or {})
    if "transformer" not in info.uses_code_of:
        raise ValueError(f"{info.name}: uses_code_of must name 'transformer'")
    if unknown := [name for name in info.verbs if name not in SHARED and name not in own]:
        raise ValueError(f"{info.name}: no code for {', '.join(unknown)}")
    shared = {name: _bound(verb, model) for name, verb in SHARED.items() if name in info.verbs and name not in own}
    functions = {name: guarded(verb) for name, verb in {**shared, **own}.items()}

    def genes(weights: Path) -> Iterable[str]:
        try:
            return list(model.module("checkpoint").known_genes(weights))
        except CheckpointError as error:
            raise click.ClickException(str(error)) from error

    return program(info, functions, genes, streams=("embed-cells",))
