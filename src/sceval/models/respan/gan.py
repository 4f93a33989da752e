"""Training of generator and critic: a Wasserstein GAN with gradient penalty (Gulrajani et al. 2017)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sceval.models.respan.network import Critic, Generator
from sceval.training.batching import split_evenly
from sceval.training.loop import Progress, TrainingError

PENALTY = 10.0
"""Weight of the gradient penalty."""

CRITIC_STEPS = 10
"""The generator moves at the first of so many steps of the critic."""


@dataclass(frozen=True)
class Losses:
    """Terms of one step; `generator` is NaN where only the critic moved."""

    real: float
    fake: float
    penalty: float
    critic: float
    generator: float = math.nan


@dataclass
class Gan:
    """Both networks with their optimizers (AdamW, Loshchilov and Hutter 2019; default weight decay)."""

    generator: Generator
    critic: Critic
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    _optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer] = field(init=False)

    def __post_init__(self) -> None:
        self._optimizers = tuple(
            torch.optim.AdamW(network.parameters(), lr=self.lr, betas=self.betas)
            for network in (self.generator, self.critic)
        )

    def step(self, query: Tensor, reference: Tensor, eta: Tensor, move_generator: bool) -> Losses:
        """Move the critic, and the generator where asked for.

        Parameters
        ----------
        query, reference
            Expression of the pairs of a mini-batch, pairs x genes.
        eta
            Weight of the reference cell in each interpolated cell, pairs x 1, 0 to 1.
        move_generator
            Whether the generator moves after the critic.
        """
        of_generator, of_critic = self._optimizers
        with (
            torch.no_grad()
        ):  # in training mode: this pass updates the batch statistics too, as the official code has it
            fake = self.generator(query)
        mixed = (eta * reference + (1 - eta) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic(mixed).sum(), mixed, create_graph=True)
        penalty = (gradient.norm(dim=1) - 1).square().mean()
        of_real, of_fake = -self.critic(reference).mean(), self.critic(fake).mean()
        loss = of_real + of_fake + PENALTY * penalty
        of_critic.zero_grad(set_to_none=True)
        loss.backward()
        of_critic.step()
        terms = [float(term.detach()) for term in (of_real, of_fake, penalty, loss)]
        if not move_generator:
            return Losses(*terms)
        moved = -self.critic(self.generator(query)).mean()
        of_generator.zero_grad(set_to_none=True)
        moved.backward()
        of_generator.step()
        return Losses(*terms, float(moved.detach()))


@dataclass(frozen=True)
class GanSettings:
    """How to train: epochs, pairs of a mini-batch, most pairs of an epoch, learning rate."""

    epochs: int = 300
    batch_size: int = 1024
    pairs_per_epoch: int = 10_240
    lr: float = 1e-4


def train(
    gan: Gan,
    query: Tensor,
    reference: Tensor,
    pairs: np.ndarray,
    settings: GanSettings,
    rng: np.random.Generator,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[Losses]:
    """Train on pairs and return the mean losses of each epoch; the generator ends in evaluation mode.

    Parameters
    ----------
    gan
        On the device of the expression.
    query, reference
        Expression, cells x genes.
    pairs
        p x 2, rows of `reference` and `query`.
    settings
        See :class:`GanSettings`.
    rng
        Draws the pairs of an epoch, without replacement, and the interpolation weights.

    Raises
    ------
    TrainingError
        A loss is not finite.
    """
    gan.generator.train()
    gan.critic.train()
    history, started, seen = [], time.perf_counter(), 0
    total = min(len(pairs), settings.pairs_per_epoch)
    for epoch in range(settings.epochs):
        chosen = rng.permutation(len(pairs))[:total]
        terms, done = [], 0
        for step, rows in enumerate(split_evenly(chosen, settings.batch_size)):
            left, right = (torch.from_numpy(np.ascontiguousarray(pairs[rows, end])).to(query.device) for end in (0, 1))
            eta = torch.from_numpy(rng.random((len(rows), 1), np.float32)).to(query.device)
            losses = gan.step(query[right], reference[left], eta, move_generator=step % CRITIC_STEPS == 0)
            if not math.isfinite(losses.critic):
                raise TrainingError(f"loss of the critic is {losses.critic} in epoch {epoch + 1}, step {step + 1}")
            terms.append(losses)
            done, seen = done + len(rows), seen + len(rows)
            if on_progress is not None:
                rate = seen / max(time.perf_counter() - started, 1e-9)
                left_s = (total * settings.epochs - seen) / rate
                on_progress(Progress(epoch + 1, settings.epochs, done, total, losses.critic, rate, left_s))
        names = ("real", "fake", "penalty", "critic", "generator")
        history.append(Losses(*(float(np.nanmean([getattr(item, name) for item in terms])) for name in names)))
    gan.generator.eval()
    return history
