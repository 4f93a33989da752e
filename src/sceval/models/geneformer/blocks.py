"""Parts of the network: BERT's embeddings, encoder block and heads (Devlin et al. 2019), post-norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.geneformer.config import GeneformerConfig


def activate(name: str, x: Tensor) -> Tensor:
    """Apply the activation that a config names."""
    if name == "relu":
        return F.relu(x)
    return F.gelu(x, approximate="tanh" if name == "gelu_new" else "none")


class Embeddings(nn.Module):
    """Token + token type (always the first) + position (= rank), normalized."""

    def __init__(self, config: GeneformerConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.n_tokens, config.width, padding_idx=config.pad_id)
        self.position = nn.Embedding(config.max_positions, config.width)
        self.kind = nn.Embedding(config.n_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids (n, L) as (n, L, width).

        Raises
        ------
        ValueError
            The cells are longer than the position table.
        """
        if ids.shape[1] > self.position.num_embeddings:
            raise ValueError(f"{ids.shape[1]} tokens, but the model has {self.position.num_embeddings} positions")
        return self.dropout(self.norm(self.word(ids) + self.kind.weight[0] + self.position.weight[: ids.shape[1]]))


class Block(nn.Module):
    """Self-attention and feed-forward part, each added and then normalized."""

    def __init__(self, config: GeneformerConfig) -> None:
        super().__init__()
        width = config.width
        self.n_heads = config.n_heads
        self.activation = config.activation
        self.attention_dropout = config.attention_dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=config.eps)
        self.up = nn.Linear(width, config.d_ff)
        self.down = nn.Linear(config.d_ff, width)
        self.norm = nn.LayerNorm(width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def probabilities(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attention probabilities (n, heads, queries, keys), which the fused kernel does not give back."""
        query, key = self._heads(self.query(x)), self._heads(self.key(x))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        return scores.float().softmax(-1)

    def forward(self, x: Tensor, mask: Tensor | None, n_queries: int | None = None) -> Tensor:
        """Transform hidden states (n, L, width).

        Parameters
        ----------
        x
            Hidden states.
        mask
            (n, 1, 1, L), True at tokens; None where nothing is padded.
        n_queries
            Compute the first positions alone (they still see all keys); the result is (n, n_queries, width).
        """
        first = x if n_queries is None else x[:, :n_queries]
        query, key, value = self._heads(self.query(first)), self._heads(self.key(x)), self._heads(self.value(x))
        drop = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=drop)
        x = self.attention_norm(first + self.dropout(self.out(mixed.transpose(1, 2).flatten(2))))
        inner = self.down(activate(self.activation, self.up(x)))
        return self.norm(x + self.dropout(inner))


class MaskedHead(nn.Module):
    """Scores of all tokens at given positions; the decoder is the token table itself (tied), with a bias of its own."""

    def __init__(self, config: GeneformerConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.bias = nn.Parameter(torch.zeros(config.n_tokens))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        """Score tokens: (..., width) and (n_tokens, width) give (..., n_tokens)."""
        return F.linear(self.norm(activate(self.activation, self.dense(x))), table, self.bias)


class CellHead(nn.Module):
    """The official cell classifier: BERT's pooler (tanh of a dense layer on position 0), dropout, linear."""

    def __init__(self, config: GeneformerConfig, n_classes: int) -> None:
        super().__init__()
        self.pooler = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.width, n_classes)
        initialize(self, config.initializer_range)

    def pool(self, first: Tensor) -> Tensor:
        """Pooler output of the last hidden state at position 0, (n, width)."""
        return torch.tanh(self.pooler(first))

    def forward(self, first: Tensor) -> Tensor:
        """Class scores (n, classes) from the last hidden state at position 0 (n, width)."""
        return self.classifier(self.dropout(self.pool(first)))


class GeneHead(nn.Module):
    """The official gene classifier (BERT token classification): dropout and a linear layer on contextual vectors."""

    def __init__(self, config: GeneformerConfig, n_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.width, n_classes)
        initialize(self, config.initializer_range)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (..., classes) from hidden states (..., width)."""
        return self.classifier(self.dropout(x))


def initialize(module: nn.Module, deviation: float) -> None:
    """BERT's start: normal weights with the given standard deviation, zero biases and pad row, plain norms."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=deviation)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            with torch.no_grad():
                part.weight[part.padding_idx].zero_()
