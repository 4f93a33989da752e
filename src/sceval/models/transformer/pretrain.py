"""Pre-training by a model's own objective, on any cells; the best epoch is the one of the smallest held-out loss."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sceval.models.transformer.corpus import Corpus
from sceval.models.transformer.encode import to_device
from sceval.models.transformer.fitting import OnProgress, loop_settings, optimizer_of
from sceval.models.transformer.session import Session, Transformer
from sceval.training.batching import bucketed_batches, holdout_split, length_buckets
from sceval.training.device import autocast
from sceval.training.loop import fit
from sceval.training.seed import derive_seed, seed_everything

if TYPE_CHECKING:
    from sceval.models.transformer.loading import Loaded

HELD_SHARE = 0.05
"""Share of the cells that never train and pick the epoch."""

VERB = "pretrain"


def pretrain(
    model: Transformer,
    corpus: Corpus,
    given: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    on_progress: OnProgress = None,
) -> tuple[Loaded, dict[str, Any]]:
    """Train a new network on a corpus without labels.

    Parameters
    ----------
    model
        Its network has `pretraining_loss`.
    corpus
        Cells; each trains once in an epoch but for `HELD_SHARE` of them.
    given
        Hyper-parameters; the others take the model's recipe for `pretrain`.
    seed, device, on_progress
        As for every verb.

    Returns
    -------
    Network (of the epoch with the smallest held-out loss) and vocabulary; what happened: settings, steps, loss curves.

    Raises
    ------
    ValueError
        The model has no pre-training, or no cell has a known gene.
    """
    session = Session.of_arrays(
        model, VERB, "scratch", corpus.counts, corpus.genes, corpus.cell_ids, given=given, seed=seed, device=device
    )
    settings, place = session.settings, session.place
    seed_everything(derive_seed(seed, model.info.name, VERB))
    loaded = session.loaded
    network = loaded.network
    tokens = session.tokenize()
    usable = np.flatnonzero(tokens.usable)
    if not usable.size:
        msg = "no cell of the corpus expresses a gene that the model uses"
        raise ValueError(msg)
    train, held = holdout_split(usable, HELD_SHARE, seed=seed)

    def loss(module: nn.Module, rows: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        del epoch
        return module.pretraining_loss(to_device(tokens.batch(rows), place))

    def held_loss(module: nn.Module) -> float:
        # The same masks in every epoch, and the generator of training left as it was.
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
            torch.manual_seed(derive_seed(seed, "held"))
            total = 0.0
            for part in length_buckets(tokens.lengths[held], settings["batch_size"]):
                with autocast(place, settings["mixed_precision"]):
                    value, _ = module.pretraining_loss(to_device(tokens.batch(held[part]), place))
                total += float(value) * len(part)
        return total / len(held)

    network.eval()
    with torch.no_grad():
        before = held_loss(network)
    started = time.perf_counter()
    history = fit(
        network,
        batches=lambda epoch: bucketed_batches(train, tokens.lengths, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(network, settings),
        settings=loop_settings(settings),
        device=place,
        validate=held_loss,
        on_progress=on_progress,
    )
    facts = {
        "model": model.info.name,
        "version": model.info.version,
        "seed": seed,
        "settings": {key: value for key, value in settings.items() if key not in ("verb", "regime", "device")},
        "device": place.type,
        "cells_train": int(train.size),
        "cells_held": int(held.size),
        "genes": len(corpus.genes),
        "parameters": sum(p.numel() for p in network.parameters()),
        "steps": len(history.train) * -(-train.size // settings["batch_size"]),
        "seconds": round(time.perf_counter() - started, 1),
        "best_epoch": history.best_epoch + 1,
        "held_loss_untrained": before,
        "held_loss": history.validation,
        "train_loss": [terms["loss"] for terms in history.train],
        "corpus": corpus.files,
        "warnings": session.warnings,
    }
    return loaded, facts


def write_checkpoint(model: Transformer, loaded: Loaded, facts: Mapping[str, Any], folder: Path) -> None:
    """Write the official layout of the model, and `pretraining.json` beside it."""
    import json

    folder.mkdir(parents=True, exist_ok=True)
    model.module("checkpoint").save(folder, loaded.network, loaded.vocabulary)
    (folder / "pretraining.json").write_text(json.dumps(dict(facts), indent=1) + "\n", encoding="utf-8")
