"""GPT-2 (Radford et al. 2019) as tGPT uses it: pre-norm blocks, causal attention, mean over the genes' positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.transformer.network import TransformerNetwork
from sceval.models.transformer.protocol import Batch


@dataclass(frozen=True)
class Config:
    """Sizes of a network.

    Attributes
    ----------
    n_tokens, n_positions
        Rows of the token and of the position table.
    width, n_layers, n_heads, d_ff
        Width, blocks, attention heads, feed-forward width.
    unk_id
        Token of words that the vocabulary lacks.
    type_ids
        Add the vector of token 0 at every position, as GPT-2 does where a tokenizer returns type ids (all 0). The
        official training and embedding code did.
    embedding_dropout, residual_dropout, attention_dropout
        In training.
    eps
        Of the LayerNorms.
    """

    n_tokens: int
    n_positions: int = 1024
    width: int = 1024
    n_layers: int = 8
    n_heads: int = 16
    d_ff: int = 4096
    unk_id: int = 3
    type_ids: bool = True
    embedding_dropout: float = 0.1
    residual_dropout: float = 0.1
    attention_dropout: float = 0.1
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is not divisible by {self.n_heads} attention heads")


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.c_attn = nn.Linear(config.width, 3 * config.width)
        self.c_proj = nn.Linear(config.width, config.width)
        self.n_heads, self.dropout = config.n_heads, config.attention_dropout

    def forward(self, x: Tensor) -> Tensor:
        """Attend to this and earlier positions: padding behind a cell reaches none of its positions."""
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in self.c_attn(x).chunk(3, dim=-1))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return self.c_proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with the tanh approximation of GELU between them (`gelu_new`)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.width, config.d_ff)
        self.c_proj = nn.Linear(config.d_ff, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in."""
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, eps=config.eps)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width, eps=config.eps)
        self.mlp = FeedForward(config)
        self.dropout = nn.Dropout(config.residual_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out as in (cells, positions, width)."""
        x = x + self.dropout(self.attn(self.ln_1(x)))
        return x + self.dropout(self.mlp(self.ln_2(x)))


class Network(TransformerNetwork):
    """The language model; its output layer is the token table (tied)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.n_tokens, config.width)
        self.wpe = nn.Embedding(config.n_positions, config.width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_f = nn.LayerNorm(config.width, eps=config.eps)
        self.dropout = nn.Dropout(config.embedding_dropout)
        self._initialize()

    def _initialize(self) -> None:
        """Start as GPT-2 does: N(0, 0.02), residual projections scaled down by the number of residual layers."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                scale = math.sqrt(2 * self.config.n_layers) if name.endswith("c_proj.weight") else 1.0
                nn.init.normal_(parameter, std=0.02 / scale)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Input of the first block: token, position and (where switched on) type vectors."""
        length = input_ids.shape[1]
        if length > self.config.n_positions:
            raise ValueError(f"{length} positions asked for, the model has {self.config.n_positions}: lower max_length")
        x = self.wte(input_ids) + self.wpe.weight[:length]
        if self.config.type_ids:
            x = x + self.wte.weight[0]
        return self.dropout(x)

    def hidden(self, input_ids: Tensor) -> Tensor:
        """Hidden states after the last LayerNorm (cells, positions, width); at padding they mean nothing."""
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return self.ln_f(x)

    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden states, and the token of the gene at each position; -1 at begin, end, padding and unknown words."""
        genes = self._gene_positions(batch) & (batch["input_ids"] != self.config.unk_id)
        return self.hidden(batch["input_ids"]), batch["input_ids"].masked_fill(~genes, -1)

    @staticmethod
    def _gene_positions(batch: Batch) -> Tensor:
        """Which positions (cells, positions) lie behind begin and before end."""
        position = torch.arange(batch["input_ids"].shape[1], device=batch["input_ids"].device)
        return (position >= 1) & (position < batch["lengths"][:, None] - 1)

    def encode(self, batch: Batch) -> Tensor:
        """Cell vectors (cells, width): the mean hidden state between begin and end; zero for a cell without a gene."""
        hidden, genes = self.hidden(batch["input_ids"]), self._gene_positions(batch)
        total = (hidden.float() * genes.unsqueeze(-1)).sum(dim=1)
        return total / genes.sum(dim=1, keepdim=True).clamp(min=1)

    def gene_table(self) -> Tensor:
        """Static vectors of the tokens (tokens, width)."""
        return self.wte.weight

    def input_modules(self) -> list[nn.Module]:
        """Token and position tables."""
        return [self.wte, self.wpe]

    def attention_projections(self) -> list[str]:
        """Queries, keys and values in one, and the output projection, of every block."""
        return [f"layers.{i}.attn.{part}.weight" for i in range(len(self.layers)) for part in ("c_attn", "c_proj")]

    def token_logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next token from hidden states, through the tied token table."""
        return F.linear(hidden, self.wte.weight)

    def pretraining_loss(self, batch: Batch, **options: object) -> tuple[Tensor, dict[str, float]]:
        """Causal language modelling: mean cross-entropy of every token behind the first, the end token included."""
        ids = batch["input_ids"]
        position = torch.arange(1, ids.shape[1], device=ids.device)
        real = position < batch["lengths"][:, None]
        logits = self.token_logits(self.hidden(ids)[:, :-1][real])
        loss = F.cross_entropy(logits.float(), ids[:, 1:][real])
        return loss, {"causal_lm": float(loss.detach())}
