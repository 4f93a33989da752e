"""Batch integration: train on the cells themselves, without labels, then embed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from sceval.models.scgpt import losses
from sceval.models.scgpt.checkpoint import LoadReport
from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.feeding import encode_all, masked_tensors
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.objectives import weighted_loss
from sceval.models.scgpt.options import loss_weights, value_bins
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.recipe import resolve
from sceval.models.scgpt.regimes import freeze, network_for, training_mode
from sceval.models.scgpt.tokens import CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.training.batching import holdout_split, length_buckets, pure_batches
from sceval.training.device import choose_device
from sceval.training.loop import History, LoopSettings, Progress, fit
from sceval.training.optim import make_optimizer
from sceval.training.seed import derive_seed, hash_ids, seed_everything

#: Regime -> what it fixes (see `regimes.FREEZABLE`).
REGIMES = {
    "scratch": "none",
    "finetune": "none",
    "frozen_embeddings": "embeddings",
    "encoder_only": "all_but_encoder",
    "decoder_only": "all_but_decoder",
}


@dataclass(frozen=True)
class Integration:
    """Cell vectors (float32, cells x d), the trained network, and what happened."""

    X: np.ndarray
    model: ScGPT
    vocabulary: Vocabulary
    history: History
    report: LoadReport | None
    notes: Notes


def loop_settings(params: dict[str, Any]) -> LoopSettings:
    """The shared loop's settings out of resolved parameters."""
    return LoopSettings(
        epochs=params["epochs"],
        gamma=params["gamma"],
        clip_norm=params["clip_norm"] or None,
        patience=params["patience"] or None,
        mixed_precision=params["mixed_precision"],
    )


def masked_error(
    tokens: CellTokenizer, rows: np.ndarray, codes: np.ndarray, keys: np.ndarray, params: dict[str, Any], seed: int
) -> Callable[[ScGPT], float]:
    """Masked error of the validation cells, the same values hidden each time, so that epochs can be compared."""

    def validate(model: ScGPT) -> float:
        place = next(model.parameters()).device
        chooser = HashChooser(keys, seed, "mask", "validation")
        total = count = 0.0
        for part in length_buckets(tokens.lengths[rows], params["batch_size"], codes=codes[rows]):
            chunk = rows[part]
            batch = masked_tensors(tokens, chunk, chooser, params["mask_ratio"], place, codes[chunk])
            hidden = float(batch.mask.sum())
            if hidden:
                output = model(batch.gene_ids, batch.values, batch.pad_mask, batch.batch_labels, at=batch.mask)
                value = losses.reconstruction(output.expression.float(), batch.target[batch.mask])
                total += float(value) * hidden
                count += hidden
        return total / count if count else float("nan")

    return validate


def integrate_cells(
    counts: sp.csr_matrix,
    symbols: Sequence[str],
    cell_ids: Sequence[str],
    batches: Sequence[str],
    *,
    regime: str | None = None,
    labels: np.ndarray | None = None,
    weights: Path | None = None,
    params: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Integration:
    """Integrate batches by the official recipe and embed all cells.

    Masked expression and its likelihood of being non-zero are predicted from the genes' and from the cell's vectors,
    cells are pushed apart or together (ECS), and batches are unlearned (DAB); inputs are normalized batch by batch.
    The weights with the smallest validation masked MSE are kept. Cells are taken in the order of their ids, so the
    order of the file changes nothing.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    symbols, cell_ids, batches
        Gene symbols of the columns; ids and batches of the rows.
    regime
        ``scratch``, ``finetune``, ``frozen_embeddings`` (gene and value encoders fixed), ``encoder_only`` (the
        transformer alone trains) or ``decoder_only`` (the expression decoder alone trains, so that the vectors move by
        their batch normalization only); by default what ``weights`` says.
    labels
        Class of each cell, -1 where it has none; learned too where given.
    weights
        Checkpoint folder to start from; None = from scratch, with a vocabulary of the dataset's genes.
    params
        Values of :data:`sceval.models.scgpt.recipe.PARAMS`.
    seed
        Seed of weights, masks, subsets, shuffling and the validation part.
    device
        ``auto``, ``cpu`` or ``cuda``.
    on_progress
        Called after each training step.

    Raises
    ------
    NoKnownGenes
        No gene can be used.
    CheckpointError
        The checkpoint does not fit.
    TrainingError
        The loss is not finite.
    """
    regime = regime or ("scratch" if weights is None else "finetune")
    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; choose one of {', '.join(REGIMES)}")
    place = choose_device(device)
    settings = resolve("integrate", regime, params or {}, place.type)
    notes = Notes({"device": place.type, "params_used": settings})
    order = np.argsort(np.asarray(cell_ids, dtype=str), kind="stable")
    counts = sp.csr_matrix(counts)[order]
    ids = [str(cell_ids[i]) for i in order]
    names, codes = np.unique(np.asarray(batches, dtype=str)[order], return_inverse=True)
    n = len(names)
    seed_everything(derive_seed(seed, "scgpt", "integrate"))

    classes = None if labels is None else np.asarray(labels, dtype=np.int64)[order]
    terms = loss_weights(settings, batches=True, labels=classes is not None)
    model, vocabulary, report = network_for(
        weights,
        lambda: Vocabulary.from_genes([s for s in symbols if s]),
        settings,
        derive_seed(seed, "weights"),
        n_batches=n,
        n_domains=n if settings["dsbn"] else 0,
        zero_prob="gep_nzlp" in terms,
        mvc="gepc" in terms,
        discriminator=n if "dab" in terms else 0,
        n_value_bins=value_bins(settings),
        n_classes=int(classes.max()) + 1 if "cls" in terms else 0,
    )
    freeze(model, REGIMES[regime])
    tokens = finetune_tokens(
        counts, list(symbols), ids, vocabulary, settings, seed, notes, keep_zeros=True, batch_codes=codes
    )
    keys = hash_ids(ids)
    usable = np.flatnonzero(tokens.expressed > 0)
    train, held = holdout_split(usable, settings["validation_fraction"], seed=seed, strata=codes)
    model = model.to(place)

    def loss(network: ScGPT, rows: np.ndarray, epoch: int) -> tuple[torch.Tensor, dict[str, float]]:
        chooser = HashChooser(keys, seed, "mask", epoch)
        batch = masked_tensors(tokens, rows, chooser, settings["mask_ratio"], place, codes[rows])
        if classes is not None:
            batch.classes = torch.from_numpy(classes[rows]).to(place)
        return weighted_loss(network, batch, terms, ecs_threshold=settings["ecs_threshold"])

    history = fit(
        model,
        batches=lambda epoch: pure_batches(train, codes, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=make_optimizer(
            settings["optimizer"],
            model.parameters(),
            lr=settings["lr"],
            eps=settings["adam_eps"],
            weight_decay=settings["weight_decay"],
        ),
        settings=loop_settings(settings),
        device=place,
        validate=masked_error(tokens, held, codes, keys, settings, seed) if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    X = np.empty((len(ids), model.config.d_model), dtype=np.float32)
    X[order] = encode_all(
        model,
        tokens,
        place,
        batch_size=settings["batch_size"],
        batch_codes=codes,
        mixed_precision=settings["mixed_precision"],
    )
    notes.facts |= {
        "batches": list(map(str, names)),
        "best_epoch": history.best_epoch + 1,
        "epochs_run": len(history.train),
    }
    return Integration(X, model, vocabulary, history, report, notes)
