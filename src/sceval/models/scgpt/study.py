"""Annotation as the scEval study trained it: classes together with masked values, cell similarity and batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from scipy.special import softmax
from torch import Tensor, nn

from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.feeding import masked_tensors
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.objectives import weighted_loss
from sceval.models.scgpt.options import loss_weights, value_bins
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.regimes import freeze, network_for
from sceval.models.scgpt.tokens import CellTokens
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.annotate import CellAnnotation
from sceval.models.transformer.encode import vectors_of
from sceval.models.transformer.fitting import OnProgress, cross_entropy, loop_settings, optimizer_of
from sceval.models.transformer.problems import NoKnownGenes, UnfitCheckpoint
from sceval.models.transformer.regimes import training_mode
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split, shuffled_batches
from sceval.training.loop import fit
from sceval.training.seed import derive_seed, hash_ids, seed_everything

#: Regime -> what it fixes (see `regimes.FREEZABLE`).
REGIMES = {"scratch": "none", "finetune": "none", "frozen": "backbone", "frozen_embeddings": "embeddings"}


def annotate_study(
    session: Session,
    labels: np.ndarray,
    n_classes: int,
    *,
    batches: Sequence[str] | None = None,
    validation: np.ndarray | None = None,
    on_progress: OnProgress = None,
) -> CellAnnotation:
    """Learn classes from labelled cells with the study's losses and give the probabilities of all cells.

    In each step a share of a cell's values is hidden; the loss sums the masked error of the decoder and of the
    decoder from the cell vector, the likelihoods of being expressed, elastic cell similarity, unlearned batches (where
    the reference has several) and the cross-entropy of the classes. The epoch is chosen by the cross-entropy of the
    classes of validation cells. Nothing is fitted on query cells, so that inputs are not normalized batch by batch.

    Parameters
    ----------
    session
        Of the verb `annotate` with `recipe` `study` and a regime of `REGIMES`.
    labels
        Class 0 to n_classes - 1 of each reference cell, -1 for query cells, in the order of the view.
    n_classes
        Number of classes, at least 2.
    batches
        Batch of each cell; those of query cells are not used.
    validation
        True for reference cells that pick the epoch; a stratified part of the reference by default.
    on_progress
        Called after each training step.

    Raises
    ------
    ValueError
        Unknown regime.
    UnfitCheckpoint
        The checkpoint was trained for integration (DSBN).
    NoKnownGenes
        No training cell has a gene that can be used.
    """
    settings, seed, place = session.settings, session.seed, session.place
    if settings["regime"] not in REGIMES:
        raise ValueError(f"unknown regime {settings['regime']!r}; choose one of {', '.join(REGIMES)}")
    order = np.argsort(np.asarray(session.cell_ids, dtype=str), kind="stable")
    ids, own = [session.cell_ids[i] for i in order], np.asarray(labels, dtype=np.int64)[order]
    codes, n_batches = _batch_codes(None if batches is None else np.asarray(batches, dtype=str)[order], own)
    seed_everything(derive_seed(seed, "scgpt", "study"))
    terms = loss_weights(settings, batches=n_batches > 0, labels=True)
    model, vocabulary, report = session.adopt(
        network_for(
            session.weights,
            lambda: Vocabulary.of(session.genes),
            settings,
            derive_seed(seed, "weights"),
            n_classes=n_classes,
            cls_style="study",
            n_batches=n_batches,
            n_domains=0,
            zero_prob="gep_nzlp" in terms,
            mvc="gepc" in terms,
            n_value_bins=value_bins(settings),
            discriminator=n_batches if "dab" in terms else 0,
        )
    )
    if report is not None and any(name.startswith("dsbn.") for name in report.left_out):
        raise UnfitCheckpoint("this checkpoint was trained for integration (DSBN); annotation cannot start from it")
    freeze(model, REGIMES[settings["regime"]])
    if validation is None:
        train, held = holdout_split(np.flatnonzero(own >= 0), settings["validation_fraction"], seed=seed, strata=own)
    else:
        chosen = np.asarray(validation, dtype=bool)[order]
        train, held = np.flatnonzero((own >= 0) & ~chosen), np.flatnonzero((own >= 0) & chosen)
    counts, notes = sp.csr_matrix(session.counts)[order], Notes(session.facts, session.warnings)
    columns = session.token_ids
    made = finetune_tokens(counts, columns, ids, vocabulary, settings, seed, notes, keep_zeros=True, fit_rows=train)
    tokens, keys = CellTokens(made, 1.0), hash_ids(ids)
    train, held = train[tokens.usable[train]], held[tokens.usable[held]]
    if not train.size:
        raise NoKnownGenes("no training cell expresses a gene that the model uses")

    def loss(network: ScGPT, rows: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        chooser = HashChooser(keys, seed, "mask", epoch)
        known_batches = codes[rows] if n_batches else None
        batch = masked_tensors(made, rows, chooser, settings["mask_ratio"], place, known_batches)
        batch.classes = torch.from_numpy(own[rows]).to(place)
        return weighted_loss(network, batch, terms, ecs_threshold=settings["ecs_threshold"])

    def logits_of(rows: np.ndarray) -> np.ndarray:
        model.eval()
        return vectors_of(lambda batch: model.cls_decoder(model.encode(batch)), tokens, rows, place, settings)

    def validate(network: nn.Module) -> float:
        return cross_entropy(logits_of(held), own[held])

    history = fit(
        model,
        batches=lambda epoch: shuffled_batches(train, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(model, settings),
        settings=loop_settings(settings),
        device=place,
        validate=validate if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    sorted_probability = np.empty((own.size, n_classes))
    sorted_probability[:] = np.bincount(own[train], minlength=n_classes) / train.size
    rows = np.flatnonzero(tokens.usable)
    sorted_probability[rows] = softmax(logits_of(rows).astype(np.float64), axis=1)
    probability, known = np.empty_like(sorted_probability), np.empty(own.size, bool)
    probability[order], known[order] = sorted_probability, tokens.usable
    session.tell_unusable(known, "get the class prior, `unassigned`")
    session.tell_device()
    session.facts.update(
        batches_unlearned=n_batches if "dab" in terms else 0,
        best_epoch=history.best_epoch + 1,
        epochs_run=len(history.train),
        train_cells=int(train.size),
        validation_cells=int(held.size),
    )
    return CellAnnotation(probability, known, model, model.cls_decoder, history)


def _batch_codes(batches: np.ndarray | None, labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Code of each reference cell's batch (0 elsewhere), and how many there are; none where there is but one."""
    codes = np.zeros(labels.size, dtype=np.int64)
    if batches is None or len(names := np.unique(batches[labels >= 0])) < 2:
        return codes, 0
    codes[labels >= 0] = np.searchsorted(names, batches[labels >= 0])
    return codes, len(names)
