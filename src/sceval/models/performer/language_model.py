"""What scBERT and CellLM share: token and gene vectors, the Performer, a final norm, token logits, the classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sceval.models.performer.head import SlotHead
from sceval.models.performer.network import Performer, PerformerConfig
from sceval.models.transformer.network import TransformerNetwork
from sceval.models.transformer.protocol import Batch

#: Positions worked on at a time where no gradient is needed; what is wider than the residual stream is held for these.
POSITIONS = 1 << 15


@dataclass(frozen=True)
class LanguageModelConfig:
    """Sizes and use of a network.

    Attributes
    ----------
    performer
        The stack.
    n_tokens
        Rows of the token table.
    n_positions
        Rows of the table of gene vectors, special rows included.
    max_length
        Positions of a padded sequence; 0 where nothing is padded.
    pool
        What the cell vector is; each model names its ways.
    head
        Classifier: ``official`` (all positions) or ``linear`` (on the cell vector).
    train_positions
        Whether gene vectors train; official ones are fixed.
    """

    performer: PerformerConfig
    n_tokens: int
    n_positions: int
    max_length: int = 0
    pool: str = "all"
    head: str = "official"
    train_positions: bool = False

    @property
    def width(self) -> int:
        """Length of a cell vector."""
        return self.performer.dim


class Inputs(NamedTuple):
    """Token ids and rows of the gene table (n x t), which positions are real, and how often each key counts."""

    tokens: Tensor
    positions: Tensor
    real: Tensor | None = None
    weight: Tensor | None = None


class PerformerLM(TransformerNetwork):
    """A network; subclasses say what their input is, how cells are pooled, which slots the classifier reads."""

    config: LanguageModelConfig
    pools: tuple[str, ...] = ("all",)

    def __init__(self, config: LanguageModelConfig, seed: int = 0) -> None:
        super().__init__()
        if config.pool not in self.pools:
            raise ValueError(
                f"unknown way to make a cell vector {config.pool!r}; choose one of {', '.join(self.pools)}"
            )
        width = config.width
        self.config = config
        self.token_emb = nn.Embedding(config.n_tokens, width)
        self.pos_emb = nn.Embedding(config.n_positions, width)
        self.pos_emb.weight.requires_grad_(config.train_positions)
        self.performer = Performer(config.performer, seed)
        self.norm = nn.LayerNorm(width)
        self.to_out = nn.Linear(width, config.n_tokens)
        self.dropout = nn.Dropout(config.performer.dropout)

    @property
    def layers(self) -> nn.ModuleList:
        """The blocks."""
        return self.performer.layers

    @property
    def one_vector(self) -> bool:
        """Whether the classifier reads the cell vector."""
        return self.config.head == "linear"

    def inputs(self, batch: Batch) -> Inputs:
        """Read a mini-batch."""
        raise NotImplementedError

    def pool(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Cell vectors (n x width) of hidden states."""
        raise NotImplementedError

    def slots(self, inputs: Inputs) -> Tensor | None:
        """Slot of each position in the classifier, -1 where it has none; None where they stand in order."""
        raise NotImplementedError

    @property
    def n_slots(self) -> int:
        """Slots of the classifier."""
        raise NotImplementedError

    def embed(self, inputs: Inputs) -> Tensor:
        """Sum of token and gene vectors, n x t x width: the input of the first block."""
        return self.token_emb(inputs.tokens) + self.pos_emb(inputs.positions)

    def states(self, inputs: Inputs) -> Tensor:
        """Hidden states (n x t x width) after the final norm; 0 where a position is not real."""
        x = self.performer(self.dropout(self.embed(inputs)), inputs.real, inputs.weight)
        hidden = self.norm(x)
        return hidden if inputs.real is None else hidden * inputs.real[..., None]

    def _by_cells(self, batch: Batch, work: Callable[[Inputs], Tensor]) -> Tensor:
        """Work on a few cells at a time where their results are independent and no gradient needs them together."""
        inputs = self.inputs(batch)
        cells, length = inputs.tokens.shape
        step = max(1, POSITIONS // length)
        learns = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        if learns or self.config.performer.stabilizer == "batch" or cells <= step:
            return work(inputs)
        parts = [
            Inputs(*(None if x is None else x[start : start + step] for x in inputs)) for start in range(0, cells, step)
        ]
        return torch.cat([work(part) for part in parts])

    def encode(self, batch: Batch) -> Tensor:
        """Cell vectors, n x width."""
        return self._by_cells(batch, lambda part: self.pool(self.states(part), part))

    def hidden(self, batch: Batch) -> Tensor:
        """Hidden states of all positions, n x t x width."""
        return self._by_cells(batch, self.states)

    def token_logits(self, hidden: Tensor) -> Tensor:
        """Logits over the tokens at each position."""
        return self.to_out(hidden)

    def features(self, batch: Batch) -> Tensor:
        """Cell vectors for the linear classifier, else hidden states."""
        return self.encode(batch) if self.one_vector else self.hidden(batch)

    def new_head(self, n_classes: int, settings: dict[str, Any]) -> nn.Module:
        """The official classifier, or a linear layer on the cell vector (``head: linear``)."""
        if self.one_vector:
            return nn.Linear(self.config.width, n_classes)
        wide = int(settings.get("head_width") or 512)
        return SlotHead(self.config.width, self.n_slots, (wide, max(wide // 4, 1)), n_classes)

    def logits(self, head: nn.Module, batch: Batch) -> Tensor:
        """Logits, n x n_classes."""
        if not isinstance(head, SlotHead):
            return head(self.encode(batch))

        def slots(part: Inputs) -> Tensor:
            return head.slots(head.positions(self.states(part)), self.slots(part))

        return head.read(self._by_cells(batch, slots))

    def gene_table(self) -> Tensor:
        """Static gene vectors, special rows left out."""
        return self.pos_emb.weight[: self.n_genes]

    @property
    def n_genes(self) -> int:
        """Genes of the table."""
        raise NotImplementedError

    def input_modules(self) -> list[nn.Module]:
        """Token and gene vectors."""
        return [self.token_emb, self.pos_emb]

    def attention_projections(self) -> list[str]:
        """Query, key, value and output matrices of all blocks."""
        parts = ("to_q", "to_k", "to_v", "to_out")
        return [f"performer.layers.{i}.{part}.weight" for i in range(len(self.layers)) for part in parts]

    def _finetunes(self, block: int) -> Callable[[str], bool]:
        """Rule of both official codes: the final norm and one block train, besides the classifier."""
        return lambda name: name.startswith(("norm.", f"performer.layers.{block}."))
