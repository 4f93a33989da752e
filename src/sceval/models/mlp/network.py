"""The perceptron and its training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from sceval.training.batching import shuffled_batches
from sceval.training.device import choose_device
from sceval.training.loop import History, LoopSettings, Progress, fit
from sceval.training.optim import make_optimizer
from sceval.training.seed import derive_seed, seed_everything


def perceptron(n_genes: int, hidden: Sequence[int], n_classes: int, dropout: float) -> nn.Sequential:
    """Return linear layers with batch normalization, Mish (Misra 2020) and dropout between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip([n_genes, *hidden], hidden, strict=False):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.Mish(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear([n_genes, *hidden][-1], n_classes))


def classify(
    known: np.ndarray,
    codes: np.ndarray,
    query: np.ndarray,
    n_classes: int,
    train: np.ndarray,
    held: np.ndarray,
    *,
    hidden: Sequence[int],
    dropout: float,
    epochs: int,
    patience: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    seed: int,
    device: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[np.ndarray, History]:
    """Train on rows of the reference and return class probabilities of the query, m x c.

    Parameters
    ----------
    known, query
        Standardized expression, cells x genes.
    codes
        Class of each reference cell.
    n_classes
        Number of classes.
    train, held
        Rows of the reference that train and that choose the epoch by cross-entropy.
    hidden, dropout
        Widths of the hidden layers, and dropout after each.
    epochs, patience
        Most epochs, and epochs without a better value before the end.
    batch_size, lr, weight_decay
        Of AdamW.
    seed, device
        Seeds weights, dropout and order; ``auto``, ``cpu`` or ``cuda``.
    """
    place = choose_device(device)
    seed_everything(derive_seed(seed, "mlp"))
    network = perceptron(known.shape[1], hidden, n_classes, dropout).to(place)
    X = torch.from_numpy(known.astype(np.float32)).to(place)
    y = torch.from_numpy(codes.astype(np.int64)).to(place)

    def loss(model: nn.Module, rows: np.ndarray, epoch: int) -> tuple[torch.Tensor, dict[str, float]]:
        chosen = torch.from_numpy(rows).to(place)
        return F.cross_entropy(model(X[chosen]), y[chosen]), {}

    chosen = torch.from_numpy(held).to(place)
    history = fit(
        network,
        batches=lambda epoch: shuffled_batches(train, batch_size, seed=seed, epoch=epoch),
        loss=loss,
        optimizer=make_optimizer("adamw", network.parameters(), lr=lr, weight_decay=weight_decay),
        settings=LoopSettings(epochs, gamma=1.0, patience=patience, mixed_precision=False),
        device=place,
        validate=(lambda model: float(F.cross_entropy(model(X[chosen]), y[chosen]))) if len(held) else None,
        on_progress=on_progress,
    )
    with torch.no_grad():
        logits = network(torch.from_numpy(query.astype(np.float32)).to(place))
    return logits.double().softmax(dim=1).cpu().numpy(), history
