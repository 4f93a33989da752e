"""`sceval-model` of scGPT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import click
import numpy as np

from sceval.contract.results import Annotation, Embedding, Result
from sceval.models.request import Info, NotApplicable, Request, Verb
from sceval.models.scgpt import verbs
from sceval.models.scgpt.recipe import PARAMS, resolve
from sceval.models.transformer.program import SHARED, Session, Transformer, transformer_program

LEAST_RECOGNISED = 0.2

INFO = Info(
    name="scgpt",
    title="scGPT",
    version="1.0.0",
    verbs=(
        *("embed-cells", "embed-genes", "integrate", "annotate", "classify-genes"),
        *("perturb", "infer-network", "impute", "simulate"),
    ),
    regimes={
        "embed-cells": ("zero_shot", "probe"),
        "embed-genes": ("zero_shot", "probe"),
        "integrate": ("finetune", "frozen_embeddings", "encoder_only", "decoder_only", "scratch"),
        "annotate": ("frozen", "frozen_embeddings", "finetune", "scratch"),
        "classify-genes": ("frozen", "frozen_embeddings", "finetune", "scratch"),
        "perturb": ("finetune", "scratch"),
        "infer-network": ("zero_shot",),
        "impute": ("zero_shot", "finetune", "scratch"),
        "simulate": ("finetune", "scratch"),
    },
    needs_weights=("zero_shot", "probe", "frozen", "finetune", "frozen_embeddings", "encoder_only", "decoder_only"),
    gene_ids="gene_symbol",
    min_genes_recognised=LEAST_RECOGNISED,
    uses_labels=("annotate", "classify-genes", "simulate"),
    weights="folder with args.json, best_model.pt, vocab.json (official scGPT layout)",
    gpu="optional",
    memory_mb=6000,
    licence="Apache-2.0 (this code); official weights: no separate terms published, upstream code MIT",
    citation="Cui et al. 2024, Nat Methods 21:1470",
    params=PARAMS,
    uses_code_of=("transformer", "geneformer"),
)


def _settings(verb: str, regime: str, given: Mapping[str, Any], device: str) -> dict[str, Any]:
    width, heads = given.get("d_model", 0), given.get("n_heads", 1)
    if regime == "scratch" and width % heads:
        raise click.BadParameter(f"d_model {width} is not divisible by n_heads {heads}", param_hint="--params")
    return resolve(verb, regime, dict(given), device)


MODEL = Transformer(INFO, __package__, resolver=_settings)


def embed_cells(request: Request) -> Embedding:
    """Embed cells with the pre-trained network: the cls vector, scaled to length 1."""
    session = Session.of(MODEL, "embed-cells", request)
    from sceval.models.transformer.embed import embed_cells

    network = session.loaded.network
    codes = _domains(request, network.config.n_domains, network.batch_names)
    if codes is None:
        return Embedding(embed_cells(session))
    return Embedding(embed_cells(session, lambda rows: replace(session.tokenize(rows), groups=codes[rows])))


def _domains(request: Request, n_domains: int, names: list[str] | None) -> np.ndarray | None:
    """Branch of the per-batch normalization of each cell, for checkpoints that have it."""
    if not n_domains:
        return None
    batch = request.view.obs.get("batch")
    if names is None or batch is None or not set(batch) <= set(names):
        found = "no batch" if batch is None else f"batches {', '.join(sorted(map(str, set(batch))))}"
        trained = "unnamed batches" if names is None else ", ".join(names)
        msg = (
            f"this checkpoint normalizes each of its {n_domains} training batches apart (DSBN: {trained}) and the view "
            f"has {found}; the statistics of other batches do not fit"
        )
        raise NotApplicable(msg)
    return np.array([names.index(name) for name in batch])


def integrate(request: Request) -> Embedding:
    """Integrate batches: train on the cells without labels by the official recipe, then embed them."""
    view = request.view
    if "modality" in view.var and set(view.var["modality"].astype(str)) - {"rna"}:
        return verbs.integrate_modalities(MODEL, request)
    if "batch" not in view.obs:
        msg = "scGPT integration needs a column `batch` in obs, and this view has none"
        raise NotApplicable(msg)
    if len(set(view.obs["batch"])) < 2:
        msg = f"all cells are of one batch ({view.obs['batch'][0]!r}), there is nothing to integrate"
        raise NotApplicable(msg)
    labels = _labels_of(request) if request.params["use_labels"] else None
    session = Session.of(MODEL, "integrate", request)
    from sceval.models.scgpt.integrate import integrate_cells
    from sceval.training.progress import ProgressLines

    result = integrate_cells(
        session, list(view.obs["batch"]), labels=labels, on_progress=ProgressLines("scgpt integrate")
    )
    return Embedding(result.X)


def _labels_of(request: Request) -> np.ndarray:
    """Class of each cell by its label in the view, -1 where it has none."""
    labels = request.view.obs.get("cell_type")
    if labels is None:
        msg = "use_labels is on and this view shows no label (no column `cell_type` in obs)"
        raise NotApplicable(msg)
    known = np.array([label is not None for label in labels], bool)
    classes, codes = np.unique(labels[known].astype(str), return_inverse=True)
    if len(classes) < 2:
        msg = f"use_labels is on and the view shows labels of {len(classes)} class(es); at least two are needed"
        raise NotApplicable(msg)
    out = np.full(len(labels), -1, dtype=np.int64)
    out[known] = codes
    request.facts["labelled_cells"] = int(known.sum())
    return out


def annotate(request: Request) -> Annotation:
    """Label query cells with a classifier on the cell vector, by the official recipe or the study's."""
    if request.params["recipe"] == "study":
        return verbs.annotate_study(MODEL, request)
    return SHARED["annotate"](MODEL, request)


def _own(verb: Callable[[Transformer, Request], Result]) -> Verb:
    def run(request: Request) -> Result:
        return verb(MODEL, request)

    run.__doc__ = verb.__doc__
    return run


OWN = {
    "perturb": verbs.perturb,
    "infer-network": verbs.infer_network,
    "impute": verbs.impute,
    "simulate": verbs.simulate,
}

main = transformer_program(
    MODEL,
    {
        "embed-cells": embed_cells,
        "integrate": integrate,
        "annotate": annotate,
        **{name: _own(verb) for name, verb in OWN.items()},
    },
)
