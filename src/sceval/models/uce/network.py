"""The network of UCE: protein vectors in, post-norm transformer, the decoded vector at the cls position out.

Modules and parameters carry the names of the official files, so a state dict is a checkpoint. For inference only: the
official dropout (0.05) is left out.
"""

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
    token_dim
        Length of a protein vector (5,120).
    d_model, n_layers, n_heads, d_ff
        Of the transformer (1,280; 4 or 33; 20; 5,120).
    decoder, binary_decoder
        Widths behind each block of the two decoders, the plain last layer included.
    n_positions
        Rows of the position table (1,536).
    """

    token_dim: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    decoder: tuple[int, ...]
    binary_decoder: tuple[int, ...]
    n_positions: int

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"width {self.d_model} is not divisible by {self.n_heads} attention heads")

    @property
    def width(self) -> int:
        """Length of a cell vector."""
        return self.decoder[-1]


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.n_heads = n_heads
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor, mask: Tensor | None, n_queries: int) -> Tensor:
        """Output at the first `n_queries` positions; a boolean mask is True at keys, a float one is added to logits."""
        width = x.shape[-1]
        q = F.linear(x[:, :n_queries], self.in_proj_weight[:width], self.in_proj_bias[:width])
        k, v = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (q, k, v))
        if mask is not None and mask.is_floating_point():
            mask = mask.to(q.dtype)
        return self.out_proj(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-norm layer with a ReLU feed-forward part."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.self_attn = Attention(config.d_model, config.n_heads)
        self.linear1 = nn.Linear(config.d_model, config.d_ff)
        self.linear2 = nn.Linear(config.d_ff, config.d_model)
        self.norm1 = nn.LayerNorm(config.d_model)
        self.norm2 = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, mask: Tensor | None, n_queries: int) -> Tensor:
        """Output at the first `n_queries` positions."""
        x = self.norm1(x[:, :n_queries] + self.self_attn(x, mask, n_queries))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class _Encoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))


class _Positions(nn.Module):
    """Sine and cosine positions; the table is in the file."""

    def __init__(self, n_positions: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pe", torch.zeros(n_positions, 1, width))


def _embedding(token_dim: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(token_dim, width), nn.GELU(), nn.LayerNorm(width))


def _decoder(width: int, sizes: tuple[int, ...]) -> nn.Sequential:
    """Blocks of linear layer, LayerNorm and GELU, then a plain linear layer."""
    parts: list[nn.Module] = []
    for size in sizes[:-1]:
        parts.append(nn.Sequential(nn.Linear(width, size), nn.LayerNorm(size), nn.GELU()))
        width = size
    return nn.Sequential(*parts, nn.Linear(width, sizes[-1]))


class Network(TransformerNetwork):
    """The official network.

    Parameters
    ----------
    config
        Sizes.
    table
        Protein vectors of all tokens (tokens x token_dim); used as it is, not copied, and never trained.
    """

    def __init__(self, config: Config, table: Tensor) -> None:
        super().__init__()
        self.config = config
        self.pos_encoder = _Positions(config.n_positions, config.d_model)
        self.encoder = _embedding(config.token_dim, config.d_model)
        self.transformer_encoder = _Encoder(config)
        self.decoder = _decoder(config.d_model, config.decoder)
        self.binary_decoder = _decoder(config.width + config.d_model, config.binary_decoder)
        self.gene_embedding_layer = _embedding(config.token_dim, config.d_model)
        self.pe_embedding = nn.Embedding.from_pretrained(table, freeze=True)

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer's layers."""
        return self.transformer_encoder.layers

    def _mask(self, batch: Batch) -> Tensor | None:
        """Mask over keys (cells, 1, 1, positions): nothing of the padding, or what upstream lets through.

        Upstream hands 1 - mask to torch, which adds it to the logits: padding up to the end of a cell's mini-batch
        (`padded`) takes part, with 1 added to its logits.
        """
        position = torch.arange(batch["input_ids"].shape[1], device=batch["input_ids"].device)
        real = position < batch["lengths"][:, None]
        if "padded" not in batch:
            return None if bool(real.all()) else real[:, None, None, :]
        seen = position < batch["padded"][:, None]
        bias = torch.ones(real.shape, device=real.device).masked_fill(real, 0.0).masked_fill(~seen, -torch.inf)
        return bias[:, None, None, :]

    def _transformed(self, batch: Batch, *, cls_only: bool) -> Tensor:
        """Output of the last layer at every position or, computing no other, at the first."""
        ids = batch["input_ids"]
        length = ids.shape[1]
        if length > self.config.n_positions:
            raise ValueError(
                f"a sentence of {length} tokens, the model has {self.config.n_positions} positions: lower sample_size"
            )
        x = self.encoder(F.normalize(self.pe_embedding(ids), dim=2)) * math.sqrt(self.config.d_model)
        x = x + self.pos_encoder.pe[:length, 0]
        mask = self._mask(batch)
        for i, layer in enumerate(self.layers):
            x = layer(x, mask, 1 if cls_only and i == len(self.layers) - 1 else length)
        return x

    def decoded(self, batch: Batch) -> Tensor:
        """Decoder output at every position (cells, positions, width)."""
        return self.decoder(self._transformed(batch, cls_only=False))

    def encode(self, batch: Batch) -> Tensor:
        """Cell vectors (cells, width) of length 1: the decoder output at the cls position."""
        return F.normalize(self.decoder(self._transformed(batch, cls_only=True)[:, 0]).float(), dim=1)

    def expressed(self, cells: Tensor, genes: Tensor) -> Tensor:
        """Logit that a cell expresses a gene, pair by pair (n,), the objective of pre-training.

        Parameters
        ----------
        cells
            Cell vectors (n, width).
        genes
            Protein vectors (n, token_dim).
        """
        return self.binary_decoder(torch.cat((cells, self.gene_embedding_layer(genes)), dim=1)).squeeze(1)
