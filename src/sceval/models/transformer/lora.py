"""LoRA (Hu et al. 2021, arXiv:2106.09685): a fixed weight W plus alpha / rank * B A, of which A and B alone train.

It sits on parameters instead of on linear layers, so that fused projections (one matrix for query, key and value) need
nothing of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Adds the scaled product of two thin matrices to a weight; nothing at first, because B is zero.

    Parameters
    ----------
    shape
        Rows and columns of the weight.
    rank
        Columns of B and rows of A.
    alpha
        The product is scaled by alpha / rank.
    """

    def __init__(self, shape: tuple[int, int], rank: int, alpha: float) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, shape[1]))
        self.B = nn.Parameter(torch.zeros(shape[0], rank))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight that the network computes with."""
        return weight + self.scale * (self.B @ self.A)


def _places(network: nn.Module, names: Iterable[str]) -> list[tuple[nn.Module, str]]:
    return [(network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in names]


def add_lora(network: nn.Module, names: Iterable[str], rank: int, alpha: float, seed: int) -> None:
    """Fix the whole network and put a trainable `LowRank` on each named weight.

    Parameters
    ----------
    network
        Changed in place.
    names
        Names of 2-D parameters, as `network.attention_projections()` gives them.
    rank, alpha
        See `LowRank`.
    seed
        Of the matrices A.

    Raises
    ------
    ValueError
        No name, a rank below 1, or a parameter that is no matrix.
    """
    names = list(names)
    if rank < 1 or not names:
        raise ValueError(f"LoRA of rank {rank} on {len(names)} weights: both must be at least 1")
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module, name in _places(network, names):
            weight = getattr(module, name)
            if weight.dim() != 2:
                raise ValueError(f"{name} of shape {tuple(weight.shape)} is no matrix")
            part = LowRank(tuple(weight.shape), rank, alpha).to(weight.device, weight.dtype)
            parametrize.register_parametrization(module, name, part)


def merge_lora(network: nn.Module, names: Iterable[str]) -> None:
    """Write the sums into the weights and take LoRA away; the network computes the same, at its old speed."""
    for module, name in _places(network, names):
        parametrize.remove_parametrizations(module, name, leave_parametrized=True)
