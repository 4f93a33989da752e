"""The networks of ResPAN; sizes and tensor names are those of the official code (commit d4a27f67, MIT)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 1024
"""Width of the outermost hidden layers; the others halve it step by step."""

_IDENTITY = 40.0


class Generator(nn.Module):
    """Maps expression of a query cell to that of its reference batch: the input plus a learned change, never negative.

    Parameters
    ----------
    n_genes
        Width of input and output.
    hidden
        Width of the outermost hidden layers.
    """

    def __init__(self, n_genes: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        sizes = (n_genes, hidden, hidden // 2, hidden // 4, hidden // 2, hidden)
        for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            setattr(self, f"gen{i}", nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)))
        self.gen6 = nn.Linear(hidden, n_genes)

    def forward(self, x: Tensor) -> Tensor:
        """Cells x genes to the same."""
        outer = F.mish(self.gen1(x))
        inner = F.mish(self.gen2(outer))
        h = F.mish(self.gen3(inner))
        h = F.mish(self.gen4(h) + inner)
        h = F.mish(self.gen5(h) + outer)
        return F.relu(self.gen6(h) + x)


class Mish(nn.Module):
    """Mish (Misra 2020) that can be differentiated twice everywhere.

    torch's second derivative of it is NaN from 88.8 on, where an exponential overflows, and the gradient penalty needs
    that derivative; from 40 on Mish is the identity to the last bit.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Element by element."""
        return F.mish(x.clamp(max=_IDENTITY)) + F.relu(x - _IDENTITY)


class Critic(nn.Module):
    """Scores how much a cell looks like one of the reference batch."""

    def __init__(self, n_genes: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        sizes = (n_genes, hidden, hidden // 2, hidden // 4, hidden // 8)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), Mish()]
        self.dis = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Cells x genes to cells x 1."""
        return self.dis(x)
