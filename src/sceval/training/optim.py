"""Optimizers by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

OPTIMIZERS = ("adam", "adamw", "sgd")


def make_optimizer(
    name: str, parameters: Iterable[torch.nn.Parameter], *, lr: float, eps: float = 1e-8, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Build an optimizer over the parameters that may change.

    Parameters
    ----------
    name
        ``adam`` (Kingma and Ba 2015), ``adamw`` (Loshchilov and Hutter 2019) or ``sgd`` (with momentum 0.9).
    parameters
        Parameters; those that require no gradient are left out.
    lr, eps, weight_decay
        Learning rate, Adam's denominator term (not used by ``sgd``), weight decay.

    Raises
    ------
    ValueError
        Unknown name, or nothing to train.
    """
    import torch

    trainable = [p for p in parameters if p.requires_grad]
    if not trainable:
        raise ValueError("nothing to train: every parameter is frozen")
    if name == "adam":
        return torch.optim.Adam(trainable, lr=lr, eps=eps, weight_decay=weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(trainable, lr=lr, eps=eps, weight_decay=weight_decay)
    if name == "sgd":
        return torch.optim.SGD(trainable, lr=lr, momentum=0.9, weight_decay=weight_decay)
    raise ValueError(f"unknown optimizer {name!r}; choose one of {', '.join(OPTIMIZERS)}")


def cosine(epochs: int, final: float = 0.01) -> Callable[[int], float]:
    """Return the learning rate of each epoch as a multiple of the first: half a cosine from 1 towards `final`.

    Loshchilov and Hutter 2017 without restarts; `final` would be reached after `epochs` epochs.
    """
    return lambda epoch: (1 + math.cos(epoch * math.pi / epochs)) / 2 * (1 - final) + final
