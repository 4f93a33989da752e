"""`sceval-model` of scGPT."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np

from sceval.contract.results import Annotation, Embedding
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.scgpt.recipe import PARAMS

if TYPE_CHECKING:
    from sceval.models.scgpt.checkpoint import LoadReport
    from sceval.models.scgpt.prepare import Notes

LEAST_RECOGNISED = 0.2

INFO = Info(
    name="scgpt",
    title="scGPT",
    version="1.0.0",
    verbs=("embed-cells", "integrate", "annotate"),
    regimes={
        "embed-cells": ("zero_shot", "probe"),
        "integrate": ("finetune", "frozen_embeddings", "encoder_only", "decoder_only", "scratch"),
        "annotate": ("frozen", "finetune", "scratch"),
    },
    needs_weights=("zero_shot", "probe", "frozen", "finetune", "frozen_embeddings", "encoder_only", "decoder_only"),
    gene_ids="gene_symbol",
    min_genes_recognised=LEAST_RECOGNISED,
    uses_labels=("annotate",),
    weights="folder with args.json, best_model.pt, vocab.json (official scGPT layout)",
    gpu="optional",
    memory_mb=6000,
    licence="Apache-2.0 (this code); official weights: no separate terms published, upstream code MIT",
    citation="Cui et al. 2024, Nat Methods 21:1470",
    params=PARAMS,
)

T = TypeVar("T")


def _guarded(work: Callable[[], T]) -> T:
    """Run a verb; what makes the dataset or the checkpoint unfit is told as a reason, not as a traceback."""
    from sceval.models.scgpt.checkpoint import CheckpointError, UnfitCheckpoint
    from sceval.models.scgpt.prepare import NoKnownGenes

    try:
        return work()
    except (NoKnownGenes, UnfitCheckpoint) as error:
        raise NotApplicable(str(error)) from error
    except CheckpointError as error:
        raise click.ClickException(str(error)) from error


def _sha256(folder: Path) -> str:
    with (folder / "best_model.pt").open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _tell(request: Request, notes: Notes, report: LoadReport | None) -> None:
    """Put what a run found out into the facts and warnings of the program."""
    request.facts.update(notes.facts)
    request.warnings.extend(notes.warnings)
    if request.device == "cuda" or notes.facts.get("device") == "cuda":
        import torch

        request.facts["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    if report is None:
        return
    request.facts["weights_loaded"] = report.as_dict()
    request.facts["weights_sha256"] = _sha256(request.weights)
    request.warnings.extend(report.notes)


def _inputs(request: Request) -> dict[str, Any]:
    """What every verb needs; a vocabulary that does not fit the dataset is told before anything heavy is loaded."""
    symbols = [str(s) for s in request.view.var["gene_symbol"]]
    width, heads = request.params["d_model"], request.params["n_heads"]
    if request.regime == "scratch" and width % heads:
        raise click.BadParameter(f"d_model {width} is not divisible by n_heads {heads}", param_hint="--params")
    if request.regime != "scratch":
        _check_vocabulary(request.weights / "vocab.json", symbols)
    return {
        "counts": request.view.X,
        "symbols": symbols,
        "cell_ids": [str(c) for c in request.view.obs_names],
        "params": request.params,
        "seed": request.seed,
        "device": request.device,
    }


def _check_vocabulary(path: Path, symbols: list[str]) -> None:
    from sceval.models.scgpt.vocabulary import Vocabulary, VocabularyError

    if not path.is_file():
        return  # told by the checkpoint reader, together with whatever else is missing
    try:
        vocabulary = Vocabulary.read(path)
    except VocabularyError as error:
        raise click.ClickException(str(error)) from error
    share = float((vocabulary.lookup(symbols) >= 0).mean())
    if share < LEAST_RECOGNISED:
        msg = (
            f"the model recognises {share:.1%} of the {len(symbols)} genes (vocabulary of {len(vocabulary)} tokens, "
            f"first gene here {symbols[0]!r}); at least {LEAST_RECOGNISED:.0%} are needed"
        )
        raise NotApplicable(msg)


def embed_cells(request: Request) -> Embedding:
    """Embed cells with the pre-trained network: the cls vector, scaled to length 1."""
    inputs = _inputs(request)
    from sceval.models.scgpt import embed
    from sceval.models.scgpt.checkpoint import load_checkpoint

    def work() -> Embedding:
        model, vocabulary, report, files = load_checkpoint(request.weights, decoder="none", mvc=False, n_classes=0)
        codes = _domains(request, model.config.n_domains, files.args.get("batches"))
        result = embed.embed_cells(model, vocabulary, batch_codes=codes, **inputs)
        _tell(request, result.notes, report)
        return Embedding(result.X)

    return _guarded(work)


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
    if "batch" not in view.obs:
        msg = "scGPT integration needs a column `batch` in obs, and this view has none"
        raise NotApplicable(msg)
    if len(set(view.obs["batch"])) < 2:
        msg = f"all cells are of one batch ({view.obs['batch'][0]!r}), there is nothing to integrate"
        raise NotApplicable(msg)
    labels = _labels_of(request) if request.params["use_labels"] else None
    inputs = _inputs(request)
    from sceval.models.scgpt.integrate import integrate_cells
    from sceval.training.progress import ProgressLines

    def work() -> Embedding:
        result = integrate_cells(
            batches=list(view.obs["batch"]),
            regime=request.regime,
            labels=labels,
            weights=None if request.regime == "scratch" else request.weights,
            on_progress=ProgressLines("scgpt integrate"),
            **inputs,
        )
        _tell(request, result.notes, result.report)
        return Embedding(result.X)

    return _guarded(work)


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
    """Label query cells with a classifier on the cell vector, trained on the reference cells."""
    cells = reference(request)
    inputs = _inputs(request)
    from sceval.models.scgpt.annotate import annotate_cells
    from sceval.training.progress import ProgressLines

    labels = np.full(request.view.n_obs, -1, dtype=np.int64)
    labels[cells.rows] = cells.codes
    chosen = request.part("validation") if "part" in request.view.obs else np.zeros(len(labels), bool)

    def work() -> Annotation:
        result = annotate_cells(
            labels=labels,
            n_classes=len(cells.classes),
            regime=request.regime,
            validation=chosen if (chosen & (labels >= 0)).any() else None,
            weights=None if request.regime == "scratch" else request.weights,
            on_progress=ProgressLines("scgpt annotate"),
            **inputs,
        )
        _tell(request, result.notes, result.report)
        probability = result.probability[cells.query]
        prediction = np.asarray(cells.classes, object)[probability.argmax(axis=1)]
        prediction[~result.known[cells.query]] = "unassigned"
        return Annotation(cells.query, cells.classes, probability, prediction)

    return _guarded(work)


def genes(weights: Path) -> list[str]:
    """Return the genes of a checkpoint's vocabulary."""
    from sceval.models.scgpt.vocabulary import SPECIALS, Vocabulary

    return [token for token in Vocabulary.read(weights / "vocab.json").ids if token not in SPECIALS]


main = program(INFO, {"embed-cells": embed_cells, "integrate": integrate, "annotate": annotate}, genes)
