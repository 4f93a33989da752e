"""Training of a TOSICA network, its predictions and its attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from sceval.models.tosica.network import Tosica, rollout
from sceval.training.batching import shuffled_batches, split_evenly
from sceval.training.loop import History, LoopSettings, Progress, fit
from sceval.training.optim import cosine, make_optimizer

WEIGHT_DECAY = 5e-5

_BLOCK = 256


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes
    ----------
    epochs, batch_size
        Passes over the training rows, cells of a mini-batch.
    lr, optimizer
        Learning rate of the first epoch, and of what (`sgd`, `adam`, `adamw`).
    patience
        Epochs without a better validation value before the end; 0: never.
    """

    epochs: int = 10
    batch_size: int = 8
    lr: float = 1e-3
    patience: int = 0
    optimizer: str = "sgd"


@dataclass(frozen=True)
class Prediction:
    """Of m cells: class probabilities (m x c), attention to each pathway token (m x P), cell vectors (m x width)."""

    probability: np.ndarray
    attention: np.ndarray
    latent: np.ndarray


def optimizer_for(network: Tosica, lr: float, name: str = "sgd") -> torch.optim.Optimizer:
    """Return an optimizer with weight decay 5e-5; the official one is SGD with momentum 0.9."""
    return make_optimizer(name, network.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)


def train(
    network: Tosica,
    X: torch.Tensor,
    codes: torch.Tensor,
    rows: np.ndarray,
    held: np.ndarray,
    settings: TrainSettings,
    *,
    seed: int = 0,
    on_progress: Callable[[Progress], None] | None = None,
) -> History:
    """Train in place; the learning rate falls along a cosine to 1 %.

    Parameters
    ----------
    network
        On the device of `X`.
    X, codes
        Log-normalized expression, cells x genes, and the class of each cell.
    rows
        Training rows; a row may stand there several times.
    held
        Rows that pick the epoch by cross-entropy; with none the last epoch is kept, as the official code does.
    settings
        See :class:`TrainSettings`.
    seed
        Seeds the order of the cells.
    """

    def loss(model: Tosica, chosen: np.ndarray, epoch: int) -> tuple[torch.Tensor, dict[str, float]]:
        part = torch.from_numpy(np.ascontiguousarray(chosen)).to(X.device)
        return F.cross_entropy(model(X[part]), codes[part]), {}

    def validate(model: Tosica) -> float:
        total = 0.0
        for part in split_evenly(held, _BLOCK):
            chosen = torch.from_numpy(part).to(X.device)
            total += float(F.cross_entropy(model(X[chosen]), codes[chosen], reduction="sum"))
        return total / len(held)

    return fit(
        network,
        batches=lambda epoch: shuffled_batches(rows, settings.batch_size, seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_for(network, settings.lr, settings.optimizer),
        settings=LoopSettings(
            settings.epochs,
            rate=cosine(settings.epochs),
            clip_norm=None,
            patience=settings.patience or None,
            mixed_precision=False,
        ),
        device=X.device,
        validate=validate if len(held) else None,
        on_progress=on_progress,
    )


@torch.no_grad()
def predict(network: Tosica, X: torch.Tensor) -> Prediction:
    """Return probabilities, attention and vectors of cells, in evaluation mode."""
    network.eval()
    parts = []
    for part in X.split(_BLOCK):
        latent, attention = network.encode(part, weights=True)
        parts.append((network.head(latent).softmax(dim=1), rollout(attention), latent))
    return Prediction(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))


def labels_of(probability: np.ndarray, classes: np.ndarray, cutoff: float, unknown: str = "unassigned") -> np.ndarray:
    """Return the most probable class of each cell, `unknown` where its probability is below the cutoff."""
    labels = np.asarray(classes, object)[probability.argmax(axis=1)]
    labels[probability.max(axis=1) < cutoff] = unknown
    return labels
