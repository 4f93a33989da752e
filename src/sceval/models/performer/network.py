"""A stack of Performer blocks: x + attention(norm(x)), then x + feed-forward(norm(x))."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.performer.attention import STABILIZERS, linear_attention, n_features_for, orthogonal_features


@dataclass(frozen=True)
class PerformerConfig:
    """Sizes and behavior of the stack.

    Attributes
    ----------
    dim, depth, heads, dim_head
        Width of the residual stream, blocks, heads, width of a head (the inner width is their product).
    n_features
        Random features of a head; 0 stands for the official int(d ln d).
    d_ff
        Width of the feed-forward part; 0 stands for 4 x dim.
    qkv_bias
        Whether queries, keys and values have a bias.
    dropout
        On the output of both parts and inside the feed-forward part; 0 in the official models.
    stabilizer
        See :func:`sceval.models.performer.attention.linear_attention`.
    redraw_every
        In training mode, random features of all blocks are drawn anew after so many calls (official: 1000); 0 = never.
    """

    dim: int
    depth: int
    heads: int
    dim_head: int = 64
    n_features: int = 0
    d_ff: int = 0
    qkv_bias: bool = False
    dropout: float = 0.0
    stabilizer: str = "cell"
    redraw_every: int = 0

    def __post_init__(self) -> None:
        if min(self.dim, self.depth, self.heads, self.dim_head) < 1:
            raise ValueError(f"a Performer needs sizes of at least 1, found {self}")
        if self.stabilizer not in STABILIZERS:
            raise ValueError(f"unknown stabilizer {self.stabilizer!r}; choose one of {', '.join(STABILIZERS)}")
        object.__setattr__(self, "n_features", self.n_features or n_features_for(self.dim_head))
        object.__setattr__(self, "d_ff", self.d_ff or 4 * self.dim)


class PerformerBlock(nn.Module):
    """One block; ``projection`` (m x d) holds the random features that all its heads share."""

    def __init__(self, config: PerformerConfig, generator: torch.Generator) -> None:
        super().__init__()
        c, inner = config, config.heads * config.dim_head
        self.config = config
        self.attention_norm = nn.LayerNorm(c.dim)
        self.to_q, self.to_k, self.to_v = (nn.Linear(c.dim, inner, bias=c.qkv_bias) for _ in range(3))
        self.to_out = nn.Linear(inner, c.dim)
        self.register_buffer("projection", orthogonal_features(c.n_features, c.dim_head, generator))
        self.feed_forward_norm = nn.LayerNorm(c.dim)
        self.w1, self.w2 = nn.Linear(c.dim, c.d_ff), nn.Linear(c.d_ff, c.dim)
        self.dropout = nn.Dropout(c.dropout)

    def attend(self, x: Tensor, real: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Attention on normed input (n, t, dim); see :meth:`Performer.forward` for the masks."""
        q, k, v = (
            part(x).unflatten(-1, (self.config.heads, -1)).transpose(1, 2).contiguous()
            for part in (self.to_q, self.to_k, self.to_v)
        )
        if real is not None:
            v = v * real[:, None, :, None]
        out = linear_attention(q, k, v, self.projection, weight=weight, stabilizer=self.config.stabilizer)
        return self.to_out(out.transpose(1, 2).flatten(2).to(x.dtype))

    def forward(self, x: Tensor, real: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the residual stream (n, t, dim) after this block."""
        x = x + self.dropout(self.attend(self.attention_norm(x), real, weight))
        hidden = self.dropout(F.gelu(self.w1(self.feed_forward_norm(x))))
        return x + self.dropout(self.w2(hidden))


class Performer(nn.Module):
    """All blocks. ``calls_since_last_redraw`` counts forward calls in training mode, as official files hold it."""

    def __init__(self, config: PerformerConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self._generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList(PerformerBlock(config, self._generator) for _ in range(config.depth))
        self.register_buffer("calls_since_last_redraw", torch.tensor(0))

    @torch.no_grad()
    def redraw(self) -> None:
        """Draw the random features of all blocks anew, from the seed that the stack was made with."""
        for block in self.layers:
            fresh = orthogonal_features(*block.projection.shape, self._generator)
            block.projection.copy_(fresh.to(block.projection))
        self.calls_since_last_redraw.zero_()

    def count_call(self) -> None:
        """Note a forward call in training mode, and draw features anew where they are due."""
        if not self.training:
            return
        if self.config.redraw_every and int(self.calls_since_last_redraw) >= self.config.redraw_every:
            self.redraw()
            return
        self.calls_since_last_redraw += 1

    def forward(self, x: Tensor, real: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the residual stream after the last block, before any final norm.

        Parameters
        ----------
        x
            n x t x dim.
        real
            True where a position has a value to give, n x t; all by default. The others still count as keys.
        weight
            How often each key counts, n x t; once by default.
        """
        self.count_call()
        for block in self.layers:
            x = block(x, real, weight)
        return x
