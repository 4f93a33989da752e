"""Training of a network with a head, or of a head on stored vectors, by cross-entropy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.transformer.encode import to_device, vectors_of
from sceval.models.transformer.lora import merge_lora
from sceval.models.transformer.regimes import training_mode
from sceval.training.batching import bucketed_batches, shuffled_batches
from sceval.training.loop import History, LoopSettings, Progress, fit
from sceval.training.optim import make_optimizer

if TYPE_CHECKING:
    from sceval.models.transformer.network import TransformerNetwork
    from sceval.models.transformer.protocol import Tokens

OnProgress = Callable[[Progress], None] | None


class Classifier(nn.Module):
    """A network and its head as one module, so that one optimizer and one snapshot hold both."""

    def __init__(self, network: TransformerNetwork, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits, cells x classes."""
        return self.network.logits(self.head, batch)


def seeded_head(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a head whose weights depend on the seed alone, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def loop_settings(settings: Mapping[str, Any]) -> LoopSettings:
    """The shared loop's settings out of resolved parameters."""
    return LoopSettings(
        epochs=settings["epochs"],
        gamma=settings["gamma"],
        clip_norm=settings["clip_norm"] or None,
        patience=settings["patience"] or None,
        mixed_precision=settings["mixed_precision"],
    )


def optimizer_of(module: nn.Module, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimizer that the parameters name, over what trains."""
    return make_optimizer(
        settings["optimizer"],
        module.parameters(),
        lr=settings["lr"],
        eps=settings["adam_eps"],
        weight_decay=settings["weight_decay"],
    )


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy in float64."""
    return float(F.cross_entropy(torch.from_numpy(logits).double(), torch.from_numpy(labels.astype(np.int64))))


def fit_network(
    model: Classifier,
    tokens: Tokens,
    labels: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    settings: Mapping[str, Any],
    seed: int,
    place: torch.device,
    on_progress: OnProgress = None,
) -> tuple[Callable[[np.ndarray], np.ndarray], History]:
    """Train what the regime left trainable, and keep the epoch with the smallest cross-entropy of the held cells.

    Parameters
    ----------
    model
        On the device, its regime applied.
    tokens, labels
        Of all cells.
    train, held
        Rows that train (each once in an epoch), and rows that pick the epoch; without any the last epoch is kept.
    settings, seed, place, on_progress
        Resolved parameters, run seed, device, called after each step.

    Returns
    -------
    From rows to their logits (float32); what happened.
    """

    def loss(module: nn.Module, rows: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        targets = torch.from_numpy(labels[rows].astype(np.int64)).to(place)
        value = F.cross_entropy(module(to_device(tokens.batch(rows), place)).float(), targets)
        return value, {"cls": float(value.detach())}

    def logits_of(rows: np.ndarray) -> np.ndarray:
        return vectors_of(model, tokens, rows, place, settings)

    history = fit(
        model,
        batches=lambda epoch: bucketed_batches(train, tokens.lengths, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(model, settings),
        settings=loop_settings(settings),
        device=place,
        validate=(lambda module: cross_entropy(logits_of(held), labels[held])) if held.size else None,
        on_progress=on_progress,
        set_mode=training_mode,
    )
    unlora(model.network, settings)
    return logits_of, history


def unlora(network: TransformerNetwork, settings: Mapping[str, Any]) -> None:
    """Merge LoRA into the weights where it is on."""
    if settings.get("lora_rank", 0):
        merge_lora(network, network.attention_projections())


def fit_head(
    model: Classifier,
    tokens: Tokens,
    labels: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    settings: Mapping[str, Any],
    seed: int,
    place: torch.device,
    on_progress: OnProgress = None,
) -> tuple[Callable[[np.ndarray], np.ndarray], History]:
    """Train the head alone, on features of the fixed network that are computed once; else as `fit_network`."""
    model.eval()
    rows = np.flatnonzero(tokens.usable)
    position = np.full(len(tokens.lengths), -1, np.int64)
    position[rows] = np.arange(rows.size)
    features = torch.from_numpy(vectors_of(model.network.features, tokens, rows, place, settings)).to(place)
    targets = torch.from_numpy(labels[rows].astype(np.int64)).to(place)

    def at(chosen: np.ndarray) -> Tensor:
        return torch.from_numpy(position[chosen]).to(place)

    def loss(head: nn.Module, chosen: np.ndarray, epoch: int) -> tuple[Tensor, dict[str, float]]:
        value = F.cross_entropy(head(features[at(chosen)]).float(), targets[at(chosen)])
        return value, {"cls": float(value.detach())}

    def logits_of(chosen: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.head(features[at(chosen)]).float().cpu().numpy()

    history = fit(
        model.head,
        batches=lambda epoch: shuffled_batches(train, settings["batch_size"], seed=seed, epoch=epoch),
        loss=loss,
        optimizer=optimizer_of(model.head, settings),
        settings=loop_settings(settings),
        device=place,
        validate=(lambda head: cross_entropy(logits_of(held), labels[held])) if held.size else None,
        on_progress=on_progress,
    )
    return logits_of, history
