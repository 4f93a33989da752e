"""Base class of the networks: what a transformer need not say again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from sceval.models.request import NotApplicable
from sceval.models.transformer.protocol import Batch


class TransformerNetwork(nn.Module):
    """A network with the defaults that `protocol.Network` names.

    A subclass sets `config` (with `width`) and `layers`, and writes `encode`; `contextual` and `gene_table` where it
    can embed genes, and whatever else its official code does differently.
    """

    config: Any
    unit_length = False
    one_vector = True

    def encode(self, batch: Batch) -> Tensor:
        """Cell vectors, n x width."""
        raise NotApplicable("the network has no cell vectors")

    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden states, n x L x width, and token ids of the expressed genes, n x L, -1 elsewhere."""
        raise NotApplicable("the network has no contextual gene vectors")

    def gene_table(self) -> Tensor | None:
        """Static gene vectors, one row for each token id; None where the model has none."""
        return None

    def features(self, batch: Batch) -> Tensor:
        """What the classification head takes."""
        return self.encode(batch)

    def new_head(self, n_classes: int, settings: dict[str, Any]) -> nn.Module:
        """One linear layer on the cell vector."""
        return nn.Linear(self.config.width, n_classes)

    def logits(self, head: nn.Module, batch: Batch) -> Tensor:
        """Logits, n x n_classes."""
        return head(self.features(batch))

    def new_gene_head(self, n_classes: int, settings: dict[str, Any]) -> nn.Module:
        """One linear layer on contextual gene vectors."""
        return nn.Linear(self.config.width, n_classes)

    def input_modules(self) -> list[nn.Module]:
        """Embeddings and value encoders before the blocks."""
        return []

    def finetune_rule(self) -> Callable[[str], bool]:
        """Which parameters (by name) train under `finetune`: all."""
        return lambda name: True

    def attention_projections(self) -> list[str]:
        """Names of the 2-D parameters that LoRA adapts."""
        return []
