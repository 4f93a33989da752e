"""Cell type annotation: a classifier on the cell vector, trained by cross-entropy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional as F

from sceval.models.scgpt.checkpoint import LoadReport, UnfitCheckpoint
from sceval.models.scgpt.feeding import encode_all, to_tensors
from sceval.models.scgpt.integrate import loop_settings
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.recipe import resolve
from sceval.models.scgpt.regimes import freeze, network_for, training_mode
from sceval.models.scgpt.tokens import CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.training.batching import holdout_split, length_buckets, shuffled_batches
from sceval.training.device import autocast, choose_device
from sceval.training.loop import History, Progress, fit
from sceval.training.optim import make_optimizer
from sceval.training.seed import derive_seed, seed_everything

REGIMES = ("frozen", "finetune", "scratch")


@dataclass(frozen=True)
class CellAnnotation:
    """Class probabilities of every cell (float64, cells x classes) and what happened.

    ``known`` is False for cells without any known gene: their row is the class prior of the training cells.
    """

    probability: np.ndarray
    known: np.ndarray
    model: ScGPT
    vocabulary: Vocabulary
    history: History
    report: LoadReport | None
    notes: Notes


@torch.no_grad()
def _logits(
    model: ScGPT, tokens: CellTokenizer, rows: np.ndarray, place: torch.device, params: dict[str, Any]
) -> np.ndarray:
    """Logits of the given cells, float32."""
    model.eval()
    out = np.empty((rows.size, model.config.n_classes), dtype=np.float32)
    for part in length_buckets(tokens.lengths[rows], params["batch_size"]):
        batch = to_tensors(tokens.batch(rows[part]), place)
        with autocast(place, params["mixed_precision"]):
            cells = model.encode_cells(batch.gene_ids, batch.values, batch.pad_mask)
            out[part] = model.cls_decoder(cells).float().cpu().numpy()
    return out


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(F.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels.astype(np.int64))))


def annotate_cells(
    counts: sp.csr_matrix,
    symbols: Sequence[str],
    cell_ids: Sequence[str],
    labels: np.ndarray,
    n_classes: int,
    *,
    regime: str,
    validation: np.ndarray | None = None,
    weights: Path | None = None,
    params: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> CellAnnotation:
    """Learn classes from labelled cells and give the probabilities of all cells.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    symbols, cell_ids
        Gene symbols of the columns, ids of the rows.
    labels
        Class 0 .. n_classes - 1 of each reference cell, -1 for query cells. Nothing is fitted on query cells; genes are
        chosen on the reference cells that train.
    n_classes
        Number of classes, at least 2.
    regime
        ``frozen`` (backbone fixed, its vectors computed once, the head trains), ``finetune`` or ``scratch``.
    validation
        True for reference cells that pick the epoch; by default a stratified part of the reference.
    weights
        Checkpoint folder; needed by ``frozen`` and ``finetune``, refused by ``scratch``.
    params, seed, device, on_progress
        As in :func:`sceval.models.scgpt.integrate.integrate_cells`.

    Raises
    ------
    ValueError
        Unknown regime, missing weights, a label out of range, or a class count below 2.
    UnfitCheckpoint
        The checkpoint was trained for integration (DSBN).
    """
    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; choose one of {', '.join(REGIMES)}")
    if (weights is None) != (regime == "scratch"):
        raise ValueError(f"regime {regime} {'needs' if weights is None else 'takes no'} pre-trained weights")
    labels = np.asarray(labels, dtype=np.int64)
    if n_classes < 2 or labels.max(initial=-1) >= n_classes or labels.min(initial=0) < -1:
        raise ValueError(f"labels must lie in -1 .. {n_classes - 1} with at least two classes")
    place = choose_device(device)
    settings = resolve("annotate", regime, params or {}, place.type)
    notes = Notes({"device": place.type, "params_used": settings})
    order = np.argsort(np.asarray(cell_ids, dtype=str), kind="stable")
    counts, labels = sp.csr_matrix(counts)[order], labels[order]
    ids = [str(cell_ids[i]) for i in order]
    seed_everything(derive_seed(seed, "scgpt", "annotate"))

    model, vocabulary, report = network_for(
        weights,
        lambda: Vocabulary.from_genes([s for s in symbols if s]),
        settings,
        derive_seed(seed, "weights"),
        n_classes=n_classes,
        n_batches=0,
        n_domains=0,
        zero_prob=False,
        mvc=False,
        decoder="none",
        discriminator=0,
    )
    if report is not None and any(name.startswith("dsbn.") for name in report.left_out):
        raise UnfitCheckpoint("this checkpoint was trained for integration (DSBN); annotation cannot start from it")
    reference = np.flatnonzero(labels >= 0)
    if validation is None:
        train, held = holdout_split(reference, settings["validation_fraction"], seed=seed, strata=labels)
    else:
        chosen = np.asarray(validation, dtype=bool)[order]
        train, held = np.flatnonzero((labels >= 0) & ~chosen), np.flatnonzero((labels >= 0) & chosen)
    tokens = finetune_tokens(
        counts, list(symbols), ids, vocabulary, settings, seed, notes, keep_zeros=False, fit_rows=train
    )
    usable = tokens.expressed > 0
    train, held = train[usable[train]], held[usable[held]]
    model = model.to(place)
    learn = _train_head if regime == "frozen" else _train_network
    logits, history = learn(model, tokens, labels, train, held, settings, seed, place, on_progress)

    prior = np.bincount(labels[train], minlength=n_classes) / max(train.size, 1)
    known = np.zeros(labels.size, dtype=bool)
    probability = np.empty((labels.size, n_classes))
    probability[order] = np.where(usable[:, None], _softmax(logits), prior)
    known[order] = usable
    notes.facts |= {
        "best_epoch": history.best_epoch + 1,
        "epochs_run": len(history.train),
        "train_cells": int(train.size),
    }
    return CellAnnotation(probability, known, model, vocabulary, history, report, notes)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits.astype(np.float64) - np.nan_to_num(logits.max(axis=1, keepdims=True)))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _optimizer(module: torch.nn.Module, params: dict[str, Any]) -> torch.optim.Optimizer:
    return make_optimizer(
        params["optimizer"],
        module.parameters(),
        lr=params["lr"],
        eps=params["adam_eps"],
        weight_decay=params["weight_decay"],
    )


def _train_network(
    model: ScGPT,
    tokens: CellTokenizer,
    labels: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    params: dict[str, Any],
    seed: int,
    place: torch.device,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[np.ndarray, History]:
    """Train backbone and head; returns logits of all cells (NaN without known gene)."""
    if params["freeze_embeddings"]:
        freeze(model, "embeddings")

    def loss(network: ScGPT, rows: np.ndarray, epoch: int) -> tuple[torch.Tensor, dict[str, float]]:
        batch = to_tensors(tokens.batch(rows), place, classes=labels[rows])
        cells = network.encode_cells(batch.gene_ids, batch.values, batch.pad_mask)
        value = F.cross_entropy(network.cls_decoder(cells).float(), batch.classes)
        return value, {"cls": float(value.detach())}

    history = fit(
        model,
        batches=lambda epoch: shuffled_batches(train, params["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=_optimizer(model, params),
        settings=loop_settings(params),
        device=place,
        validate=(lambda m: _cross_entropy(_logits(m, tokens, held, place, params), labels[held]))
        if held.size
        else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    logits = np.full((labels.size, model.config.n_classes), np.nan, dtype=np.float32)
    rows = np.flatnonzero(tokens.expressed > 0)
    logits[rows] = _logits(model, tokens, rows, place, params)
    return logits, history


def _train_head(
    model: ScGPT,
    tokens: CellTokenizer,
    labels: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    params: dict[str, Any],
    seed: int,
    place: torch.device,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[np.ndarray, History]:
    """Train the head on the vectors of a fixed backbone, which are computed once; returns logits of all cells."""
    freeze(model, "backbone")
    options = {"batch_size": params["batch_size"], "mixed_precision": params["mixed_precision"], "normalize": False}
    vectors = torch.from_numpy(encode_all(model, tokens, place, **options)).to(place)
    targets = torch.from_numpy(labels).to(place)
    head = model.cls_decoder

    def loss(network: torch.nn.Module, rows: np.ndarray, epoch: int) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = torch.from_numpy(rows).to(place)
        value = F.cross_entropy(network(vectors[chosen]).float(), targets[chosen])
        return value, {"cls": float(value.detach())}

    def logits_of(network: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(vectors[torch.from_numpy(rows).to(place)]).float().cpu().numpy()

    history = fit(
        head,
        batches=lambda epoch: shuffled_batches(train, params["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=_optimizer(head, params),
        settings=loop_settings(params),
        device=place,
        validate=(lambda network: _cross_entropy(logits_of(network, held), labels[held])) if held.size else None,
        on_progress=on_progress,
    )
    model.eval()
    return logits_of(head, np.arange(labels.size)), history
