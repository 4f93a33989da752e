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
from sceval.models.scgpt.prepare import Notes, finetune_tokens
from sceval.models.scgpt.recipe import resolve
from sceval.models.scgpt.regimes import network_for
from sceval.models.scgpt.tokens import CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.training.batching import holdout_split, length_buckets, pure_batches
from sceval.training.device import choose_device
from sceval.training.loop import History, LoopSettings, Progress, fit
from sceval.training.optim import make_optimizer
from sceval.training.seed import derive_seed, hash_ids, seed_everything


@dataclass(frozen=True)
class Integration:
    """Cell vectors (float32, cells x d), the trained network, and what happened."""

    X: np.ndarray
    model: ScGPT
    vocabulary: Vocabulary
    history: History
    report: LoadReport | None
    notes: Notes


def loss_weights(params: dict[str, Any]) -> dict[str, float]:
    """Weights of the official integration loss; a term with weight 0 is left out, its head is not computed."""
    weights = {
        "gep": 1.0,
        "gep_nzlp": params["zero_prob_weight"],
        "gepc": params["mvc_weight"],
        "gepc_nzlp": params["mvc_weight"] * params["zero_prob_weight"],
        "ecs": params["ecs_weight"],
        "dab": params["dab_weight"],
    }
    return {name: weight for name, weight in weights.items() if weight}


def loop_settings(params: dict[str, Any]) -> LoopSettings:
    """The shared loop's settings out of resolved parameters."""
    return LoopSettings(
        epochs=params["epochs"],
        gamma=params["gamma"],
        clip_norm=params["clip_norm"] or None,
        patience=params["patience"] or None,
        mixed_precision=params["mixed_precision"],
    )


def _masked_error(
    tokens: CellTokenizer, rows: np.ndarray, codes: np.ndarray, keys: np.ndarray, params: dict[str, Any], seed: int
) -> Callable[[ScGPT], float]:
    """Masked MSE of the validation cells, the same values hidden each time, so that epochs can be compared."""

    def validate(model: ScGPT) -> float:
        place = next(model.parameters()).device
        chooser = HashChooser(keys, seed, "mask", "validation")
        total = count = 0.0
        for part in length_buckets(tokens.lengths[rows], params["batch_size"], codes=codes[rows]):
            chunk = rows[part]
            batch = masked_tensors(tokens, chunk, chooser, params["mask_ratio"], place, codes[chunk])
            output = model(batch.gene_ids, batch.values, batch.pad_mask, batch.batch_labels)
            hidden = float(batch.mask.sum())
            if hidden:
                total += float(losses.masked_mse(output.expression.float(), batch.target, batch.mask)) * hidden
                count += hidden
        return total / count if count else float("nan")

    return validate


def integrate_cells(
    counts: sp.csr_matrix,
    symbols: Sequence[str],
    cell_ids: Sequence[str],
    batches: Sequence[str],
    *,
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
    place = choose_device(device)
    settings = resolve("integrate", "scratch" if weights is None else "finetune", params or {}, place.type)
    notes = Notes({"device": place.type, "params_used": settings})
    order = np.argsort(np.asarray(cell_ids, dtype=str), kind="stable")
    counts = sp.csr_matrix(counts)[order]
    ids = [str(cell_ids[i]) for i in order]
    names, codes = np.unique(np.asarray(batches, dtype=str)[order], return_inverse=True)
    n = len(names)
    seed_everything(derive_seed(seed, "scgpt", "integrate"))

    terms = loss_weights(settings)
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
        n_classes=0,
    )
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
        validate=_masked_error(tokens, held, codes, keys, settings, seed) if held.size else None,
        on_progress=on_progress,
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
