"""`annotate`: a classifier on the network, trained on the labelled cells by cross-entropy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from torch import nn

from sceval.models.request import NotApplicable
from sceval.models.transformer.fitting import Classifier, OnProgress, fit_head, fit_network, seeded_head
from sceval.models.transformer.network import TransformerNetwork
from sceval.models.transformer.regimes import TRAINED, apply_regime, fixed_backbone
from sceval.models.transformer.session import Session
from sceval.training.batching import holdout_split
from sceval.training.loop import History
from sceval.training.seed import derive_seed, seed_everything


@dataclass(frozen=True)
class CellAnnotation:
    """Class probabilities and what was trained.

    Attributes
    ----------
    probability
        float64, cells x classes, in the order of the view; NaN where they were not asked for.
    known
        False for cells without any known gene: their row is the class prior of the training cells.
    network, head
        Trained, in evaluation mode.
    history
        What happened, epoch by epoch.
    """

    probability: np.ndarray
    known: np.ndarray
    network: TransformerNetwork
    head: nn.Module
    history: History


def annotate_cells(
    session: Session,
    labels: np.ndarray,
    n_classes: int,
    *,
    validation: np.ndarray | None = None,
    wanted: np.ndarray | None = None,
    on_progress: OnProgress = None,
) -> CellAnnotation:
    """Learn classes from labelled cells, by the regime of the session.

    Cells are taken in the order of their ids, so that the order of the file changes nothing.

    Parameters
    ----------
    session
        With a regime of `regimes.TRAINED`; nothing is fitted on query cells.
    labels
        Class 0 to n_classes - 1 of each reference cell, -1 for query cells, in the order of the view.
    n_classes
        Number of classes, at least 2.
    validation
        True for reference cells that pick the epoch; by default a stratified part of the reference
        (`validation_fraction`).
    wanted
        True for cells whose probabilities are asked for; all by default.
    on_progress
        Called after each training step.

    Raises
    ------
    ValueError
        Unknown regime, weights that are missing or not taken, a label out of range.
    NotApplicable
        The network cannot do what the regime asks for, or no training cell has a known gene.
    """
    settings, seed, place = session.settings, session.seed, session.place
    regime = settings["regime"]
    if regime not in TRAINED:
        raise ValueError(f"unknown regime {regime!r}; choose one of {', '.join(TRAINED)}")
    if (session.weights is None) != (regime == "scratch"):
        raise ValueError(f"regime {regime} {'needs' if session.weights is None else 'takes no'} pre-trained weights")
    labels = np.asarray(labels, np.int64)
    if n_classes < 2 or labels.max(initial=-1) >= n_classes or labels.min(initial=0) < -1:
        raise ValueError(f"labels must lie in -1 .. {n_classes - 1} with at least two classes")
    order = np.argsort(np.asarray(session.cell_ids, str), kind="stable")
    own = labels[order]
    if validation is None:
        train, held = holdout_split(np.flatnonzero(own >= 0), settings["validation_fraction"], seed=seed, strata=own)
    else:
        chosen = np.asarray(validation, bool)[order]
        train, held = np.flatnonzero((own >= 0) & ~chosen), np.flatnonzero((own >= 0) & chosen)

    seed_everything(derive_seed(seed, session.model.info.name, "annotate"))
    network = session.loaded.network
    tokens = session.tokenize(order, fit_rows=train)
    train, held = train[tokens.usable[train]], held[tokens.usable[held]]
    if not train.size:
        raise NotApplicable("no training cell expresses a gene that the model uses")
    apply_regime(network, regime, settings, seed)
    head = seeded_head(lambda: network.new_head(n_classes, settings), derive_seed(seed, "head"))
    model = Classifier(network, head).to(place)
    session.facts["parameters_trained"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    learn = fit_head if fixed_backbone(regime, settings) and network.one_vector else fit_network
    logits_of, history = learn(model, tokens, own, train, held, settings, seed, place, on_progress)

    asked = np.ones(len(own), bool) if wanted is None else np.asarray(wanted, bool)[order]
    sorted_probability = np.full((len(own), n_classes), np.nan)
    sorted_probability[asked] = np.bincount(own[train], minlength=n_classes) / train.size
    rows = np.flatnonzero(asked & tokens.usable)
    if rows.size:
        sorted_probability[rows] = softmax(logits_of(rows).astype(np.float64), axis=1)
    probability, known = np.empty_like(sorted_probability), np.empty(len(own), bool)
    probability[order], known[order] = sorted_probability, tokens.usable
    session.tell_unusable(known, "get the class prior, `unassigned`")
    session.tell_device()
    session.facts.update(
        best_epoch=history.best_epoch + 1,
        epochs_run=len(history.train),
        train_cells=int(train.size),
        validation_cells=int(held.size),
    )
    return CellAnnotation(probability, known, network, head, history)
