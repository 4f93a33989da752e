"""The decoder: a pre-norm Performer over all genes, named as in the official file."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.performer.attention import linear_attention
from sceval.models.scfoundation.config import ScFoundationConfig


class _FastAttention(nn.Module):
    """Holds the random features, which belong to the weights: they are a buffer of the file."""

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.register_buffer("projection_matrix", torch.randn(n_features, width))


class PerformerAttention(nn.Module):
    """Multi-head linear attention with biases on queries, keys and values."""

    def __init__(self, width: int, n_heads: int, head_width: int, n_features: int) -> None:
        super().__init__()
        inner = n_heads * head_width
        self.n_heads = n_heads
        self.fast_attention = _FastAttention(n_features, head_width)
        self.to_q = nn.Linear(width, inner)
        self.to_k = nn.Linear(width, inner)
        self.to_v = nn.Linear(width, inner)
        self.to_out = nn.Linear(inner, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor, stabilizer: str) -> Tensor:
        """Attend; (cells, positions, width)."""
        q, k, v = self._split(self.to_q(x)), self._split(self.to_k(x)), self._split(self.to_v(x))
        mixed = linear_attention(q, k, v, self.fast_attention.projection_matrix, stabilizer=stabilizer)
        return self.to_out(mixed.transpose(1, 2).flatten(2).to(x.dtype))


class _FeedForward(nn.Module):
    def __init__(self, width: int, d_ff: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, d_ff)
        self.w2 = nn.Linear(d_ff, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.gelu(self.w1(x)))


class _Inner(nn.Module):
    """The official file has one more level of names around the feed-forward part."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


class _PreNorm(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: Tensor, *extra: str) -> Tensor:
        return x + self.fn(self.norm(x), *extra)


class _Net(nn.Module):
    def __init__(self, c: ScFoundationConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    _PreNorm(
                        c.decoder_width,
                        PerformerAttention(c.decoder_width, c.decoder_heads, c.decoder_head_width, c.n_features),
                    ),
                    _PreNorm(c.decoder_width, _Inner(_FeedForward(c.decoder_width, c.decoder_ff))),
                ]
            )
            for _ in range(c.decoder_layers)
        )


class _Performer(nn.Module):
    def __init__(self, c: ScFoundationConfig) -> None:
        super().__init__()
        self.net = _Net(c)


class Decoder(nn.Module):
    """Layers, then a LayerNorm."""

    def __init__(self, c: ScFoundationConfig) -> None:
        super().__init__()
        self.performer = _Performer(c)
        self.norm = nn.LayerNorm(c.decoder_width)

    def forward(self, x: Tensor, stabilizer: str = "cell") -> Tensor:
        """Decode (cells, positions, width); ``stabilizer`` as in `linear_attention` (``batch`` = official)."""
        for attention, feed_forward in self.performer.net.layers:
            x = feed_forward(attention(x, stabilizer))
        return self.norm(x)
