"""The training loop that all models share.

Rules it keeps: gradients are unscaled before they are clipped; the learning rate falls once per epoch; the weights
kept are those of the epoch with the best validation value, buffers included; a loss that is not finite stops the run
instead of being averaged away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sceval.training.device import autocast

if TYPE_CHECKING:
    import torch


class TrainingError(RuntimeError):
    """Training cannot go on (a loss that is not finite, no mini-batch in an epoch)."""


@dataclass(frozen=True)
class Progress:
    """Where a training run stands; ``rate`` in cells per second, ``remaining_s`` the expected seconds to the end."""

    epoch: int
    epochs: int
    done: int
    total: int
    loss: float
    rate: float
    remaining_s: float


@dataclass(frozen=True)
class LoopSettings:
    """How to train.

    Parameters
    ----------
    epochs
        Most epochs.
    gamma
        Factor on the learning rate after each epoch (StepLR).
    rate
        Learning rate of an epoch (from 0) as a multiple of the first; replaces ``gamma``.
    clip_norm
        Largest global gradient norm; None = no clipping.
    patience
        Stop after this many epochs without a better validation value; None = never.
    higher_is_better
        Direction of the validation value.
    mixed_precision
        bfloat16 autocast, on CUDA only.
    """

    epochs: int
    gamma: float = 0.9
    rate: Callable[[int], float] | None = None
    clip_norm: float | None = 1.0
    patience: int | None = None
    higher_is_better: bool = False
    mixed_precision: bool = True


@dataclass
class History:
    """What happened, epoch by epoch; ``best_epoch`` counts from 0 and is -1 where nothing was validated."""

    best_epoch: int = -1
    best_value: float = float("nan")
    train: list[dict[str, float]] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


def optimize_step(
    loss: torch.Tensor,
    parameters: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    *,
    clip_norm: float | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> float:
    """One backward pass and one optimizer step; returns the global gradient norm before clipping.

    A scaler's factor is taken out of the gradients before they are clipped: clipping scaled gradients would clip
    nearly everything to nearly nothing.
    """
    import torch

    optimizer.zero_grad(set_to_none=True)
    if scaler is None:
        loss.backward()
    else:
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    return norm


def _snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def fit(
    model: torch.nn.Module,
    *,
    batches: Callable[[int], Iterable[Sequence[int]]],
    loss: Callable[[torch.nn.Module, Any, int], tuple[torch.Tensor, dict[str, float]]],
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
    device: torch.device,
    validate: Callable[[torch.nn.Module], float] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    set_mode: Callable[[torch.nn.Module], None] | None = None,
) -> History:
    """Train, and leave the weights of the best epoch in the model (in evaluation mode).

    Parameters
    ----------
    model
        Already on the device.
    batches
        Mini-batches (row numbers) of an epoch; together they should hold each training cell once.
    loss
        Called with model, mini-batch and epoch; returns the loss and its named terms.
    optimizer
        Over the parameters to change.
    settings
        See :class:`LoopSettings`.
    validate
        Called after each epoch in evaluation mode without gradients; None = the last epoch is kept.
    on_progress
        Called after each step.
    set_mode
        Puts the model into training mode; by default ``model.train()``. Use it to keep frozen parts in evaluation.

    Raises
    ------
    TrainingError
        A loss is not finite, or an epoch has no mini-batch.
    """
    import math

    import torch

    history = History()
    if settings.rate is None:
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=settings.gamma)
    else:
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, settings.rate)
    trainable = [p for group in optimizer.param_groups for p in group["params"]]
    best: dict[str, torch.Tensor] | None = None
    started, seen = time.perf_counter(), 0
    for epoch in range(settings.epochs):
        model.train() if set_mode is None else set_mode(model)
        plan = list(batches(epoch))
        total = sum(len(rows) for rows in plan)
        if not total:
            raise TrainingError(f"epoch {epoch + 1} has no training cell")
        sums: dict[str, float] = {}
        done = 0
        for step, rows in enumerate(plan):
            with autocast(device, settings.mixed_precision):
                value, terms = loss(model, rows, epoch)
            number = float(value.detach())
            if not math.isfinite(number):
                raise TrainingError(f"loss is {number} in epoch {epoch + 1}, step {step + 1}: {terms}")
            optimize_step(value, trainable, optimizer, clip_norm=settings.clip_norm)
            done, seen = done + len(rows), seen + len(rows)
            for name, term in {"loss": number, **terms}.items():
                sums[name] = sums.get(name, 0.0) + term * len(rows)
            if on_progress is not None:
                rate = seen / max(time.perf_counter() - started, 1e-9)
                remaining = (total * settings.epochs - seen) / rate
                on_progress(Progress(epoch + 1, settings.epochs, done, total, number, rate, remaining))
        history.train.append({name: value / total for name, value in sums.items()})
        history.learning_rate.append(optimizer.param_groups[0]["lr"])
        schedule.step()
        if validate is None:
            continue
        model.eval()
        with torch.no_grad(), autocast(device, settings.mixed_precision):
            score = float(validate(model))
        history.validation.append(score)
        better = score > history.best_value if settings.higher_is_better else score < history.best_value
        if math.isfinite(score) and (history.best_epoch < 0 or better):
            history.best_epoch, history.best_value, best = epoch, score, _snapshot(model)
        elif settings.patience is not None and epoch - max(history.best_epoch, 0) >= settings.patience:
            break
    if best is not None:
        model.load_state_dict(best)
    model.eval()
    return history
