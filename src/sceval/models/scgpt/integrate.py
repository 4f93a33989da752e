"""Batch integration: train on the cells themselves, without labels, then embed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from sceval.models.scgpt import losses
from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.feeding import masked_tensors
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.objectives import weighted_loss
from sceval.models.scgpt.options import loss_weights, value_bins
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.regimes import freeze, network_for
from sceval.models.scgpt.tokens import CellTokenizer, CellTokens
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.encode import unit_length, vectors_of
from sceval.models.transformer.fitting import loop_settings, optimizer_of
from sceval.models.transformer.loading import LoadReport
from sceval.models.transformer.regimes import training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split, length_buckets, pure_batches
from sceval.training.loop import History, Progress, fit
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
    session: Session,
    batches: Sequence[str],
    *,
    labels: np.ndarray | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Integration:
    """Integrate batches by the official recipe and embed all cells.

    Masked expression and its likelihood of being non-zero are predicted from the genes' and from the cell's vectors,
    cells are pushed apart or together (ECS), and batches are unlearned (DAB); inputs are normalized batch by batch.
    The weights with the smallest validation masked MSE are kept. Cells are taken in the order of their ids, so the
    order of the file changes nothing.

    Parameters
    ----------
    session
        Of the verb `integrate`. Its regime: ``scratch``, ``finetune``, ``frozen_embeddings`` (gene and value encoders
        fixed), ``encoder_only`` (the transformer alone trains) or ``decoder_only`` (the expression decoder alone
        trains, so that the vectors move by their batch normalization only).
    batches
        Batch of each cell, in the order of the view.
    labels
        Class of each cell, -1 where it has none; learned too where given.
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
    settings, seed, place = session.settings, session.seed, session.place
    regime = settings["regime"]
    if regime not in REGIMES:
        raise ValueError(f"unknown regime {regime!r}; choose one of {', '.join(REGIMES)}")
    order = np.argsort(np.asarray(session.cell_ids, dtype=str), kind="stable")
    ids = [session.cell_ids[i] for i in order]
    names, codes = np.unique(np.asarray(batches, dtype=str)[order], return_inverse=True)
    n = len(names)
    seed_everything(derive_seed(seed, "scgpt", "integrate"))

    classes = None if labels is None else np.asarray(labels, dtype=np.int64)[order]
    terms = loss_weights(settings, batches=True, labels=classes is not None)
    model, vocabulary, report = session.adopt(
        network_for(
            session.weights,
            lambda: Vocabulary.of(session.genes),
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
    )
    freeze(model, REGIMES[regime])
    notes = Notes(session.facts, session.warnings)
    counts = sp.csr_matrix(session.counts)[order]
    tokens = finetune_tokens(
        counts, session.token_ids, ids, vocabulary, settings, seed, notes, keep_zeros=True, batch_codes=codes
    )
    keys = hash_ids(ids)
    known = tokens.expressed > 0
    train, held = holdout_split(np.flatnonzero(known), settings["validation_fraction"], seed=seed, strata=codes)

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
        optimizer=optimizer_of(model, settings),
        settings=loop_settings(settings),
        device=place,
        validate=masked_error(tokens, held, codes, keys, settings, seed) if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    X = np.full((len(ids), model.config.d_model), np.nan, dtype=np.float32)
    shaped = CellTokens(tokens, 1.0, groups=codes if model.config.n_domains else None)
    rows = np.flatnonzero(known)
    X[order[rows]] = unit_length(vectors_of(model.encode, shaped, rows, place, settings))
    usable = np.empty(len(ids), bool)
    usable[order] = known
    session.tell_unusable(usable, "get no vector (a row of NaN)")
    session.tell_device()
    session.facts.update(
        batches=list(map(str, names)), best_epoch=history.best_epoch + 1, epochs_run=len(history.train)
    )
    return Integration(X, model, vocabulary, history, report)
