"""The classifier of both models: one number for each position, then three dense layers on the numbers of all genes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SlotHead(nn.Module):
    """Each position's hidden state becomes one number, kept in the slot of its gene; a perceptron reads all slots.

    The official code writes the first layer as a convolution with a kernel as wide as the hidden state, which is this
    linear layer. Slots without a position in the sequence are 0.
    """

    def __init__(self, width: int, n_slots: int, hidden: tuple[int, int], n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.n_slots = n_slots
        self.conv = nn.Linear(width, 1)
        self.fc1 = nn.Linear(n_slots, hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], n_classes)
        self.dropout = nn.Dropout(dropout)

    def positions(self, hidden: Tensor) -> Tensor:
        """Number of each position (n x t) of hidden states n x t x width."""
        return F.relu(self.conv(hidden)).squeeze(-1)

    def slots(self, numbers: Tensor, ids: Tensor | None) -> Tensor:
        """Put numbers (n x t) into slots (n x n_slots) by id; -1 drops a position, None means one after the other."""
        if ids is None:
            return F.pad(numbers, (0, self.n_slots - numbers.shape[1]))
        out = numbers.new_zeros(len(numbers), self.n_slots + 1)
        return out.scatter(1, torch.where(ids < 0, self.n_slots, ids), numbers)[:, : self.n_slots]

    def hidden_layers(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Both hidden layers after their ReLU."""
        first = F.relu(self.fc1(slots))
        return first, F.relu(self.fc2(self.dropout(first)))

    def forward(self, hidden: Tensor, ids: Tensor | None = None) -> Tensor:
        """Logits (n x n_classes) of hidden states (n x t x width) whose positions belong to the slots ``ids``."""
        return self.read(self.slots(self.positions(hidden), ids))

    def read(self, slots: Tensor) -> Tensor:
        """Logits of filled slots."""
        return self.fc3(self.dropout(self.hidden_layers(slots)[1]))
