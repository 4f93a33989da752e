"""The TOSICA network: a masked linear layer to pathway tokens, then a small pre-norm transformer.

Sizes, initial weights and order of operations are those of the official code (commit 0aa2b32f, MIT), tensor names too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPS = 1e-6

Layout = Literal["aligned", "official"]


@dataclass(frozen=True)
class TosicaConfig:
    """Sizes of a network.

    Attributes
    ----------
    n_genes, n_tokens, n_classes
        Input genes, pathway tokens, classes.
    width, depth, n_heads, mlp_ratio
        Of the transformer.
    dropout
        After the attention's projection and in the MLP.
    attention_dropout
        On the attention weights.
    drop_path
        Chance to skip a branch of the last block; it rises linearly from 0 in the first.
    layout
        How the output of the masked layer becomes tokens. `aligned`: token c holds the `width` units that see the genes
        of pathway c. `official`: unit w of token c is column w * P + c, so that a token mixes units of many pathways.
    """

    n_genes: int
    n_tokens: int
    n_classes: int
    width: int = 48
    depth: int = 2
    n_heads: int = 4
    mlp_ratio: int = 4
    dropout: float = 0.5
    attention_dropout: float = 0.5
    drop_path: float = 0.5
    layout: Layout = "aligned"

    def __post_init__(self) -> None:
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is not divisible by n_heads {self.n_heads}")
        if self.layout not in ("aligned", "official"):
            raise ValueError(f"unknown token layout {self.layout!r}; choose aligned or official")


class MaskedLinear(nn.Module):
    """Linear layer whose weights count only where the mask is 1.

    Parameters
    ----------
    mask
        g x P; each column is repeated `width` times, so that units c * width ... (c + 1) * width - 1 see pathway c.
    width
        Units of a pathway.
    """

    def __init__(self, mask: np.ndarray, width: int) -> None:
        super().__init__()
        rows = torch.from_numpy(np.ascontiguousarray(np.repeat(mask, width, axis=1).T)).float()
        self.register_buffer("mask", rows)
        bound = mask.shape[0] ** -0.5
        self.weight = nn.Parameter(torch.empty_like(rows).uniform_(-bound, bound) * rows)
        self.bias = nn.Parameter(torch.empty(rows.shape[0]).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Cells x genes to cells x (P * width)."""
        return F.linear(x, self.weight * self.mask, self.bias)


class FeatureEmbed(nn.Module):
    """Expression to pathway tokens, cells x P x width."""

    def __init__(self, mask: np.ndarray, config: TosicaConfig) -> None:
        super().__init__()
        self.config = config
        self.fe = MaskedLinear(mask, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Cells x genes to cells x P x width."""
        c = self.config
        units = self.fe(x)
        if c.layout == "official":
            return units.view(-1, c.width, c.n_tokens).transpose(1, 2)
        return units.view(-1, c.n_tokens, c.width)


class Attention(nn.Module):
    """Multi-head self-attention that can tell its weights."""

    def __init__(self, config: TosicaConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.dropout = config.attention_dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.proj_drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Cells x tokens x width to the same; with `weights` also cells x heads x tokens x tokens."""
        cells, tokens, width = x.shape
        q, k, v = self.qkv(x).view(cells, tokens, 3, self.n_heads, width // self.n_heads).permute(2, 0, 3, 1, 4)
        if weights:
            told = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
            mixed = F.dropout(told, self.dropout, self.training) @ v
        else:
            told = None
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.proj_drop(self.proj(mixed.transpose(1, 2).reshape(cells, tokens, width))), told


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, config: TosicaConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_ratio * config.width)
        self.fc2 = nn.Linear(config.mlp_ratio * config.width, config.width)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Token by token."""
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


class Block(nn.Module):
    """Pre-norm transformer block with stochastic depth (Huang et al. 2016)."""

    def __init__(self, config: TosicaConfig, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.mlp = Mlp(config)

    def _kept(self, branch: Tensor) -> Tensor:
        """Leave the branch out for a random part of the cells."""
        if not self.training or not self.drop_path:
            return branch
        keep = 1 - self.drop_path
        return branch / keep * (torch.rand(branch.shape[0], 1, 1, device=branch.device) < keep)

    def forward(self, x: Tensor, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """Cells x tokens x width to the same."""
        change, told = self.attn(self.norm1(x), weights)
        x = x + self._kept(change)
        return x + self._kept(self.mlp(self.norm2(x))), told


class Tosica(nn.Module):
    """Expression to class logits by way of pathway tokens.

    Parameters
    ----------
    mask
        0 or 1, g x P (see :mod:`sceval.models.tosica.pathways`).
    config
        Sizes.
    """

    def __init__(self, mask: np.ndarray, config: TosicaConfig) -> None:
        super().__init__()
        if mask.shape != (config.n_genes, config.n_tokens):
            raise ValueError(f"mask of shape {mask.shape}; expected {config.n_genes} genes x {config.n_tokens} tokens")
        self.config = config
        self.feature_embed = FeatureEmbed(mask, config)
        self.cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, config.width), std=0.02))
        rates = np.linspace(0, config.drop_path, config.depth)
        self.blocks = nn.ModuleList([Block(config, float(rate)) for rate in rates])
        self.norm = nn.LayerNorm(config.width, eps=NORM_EPS)
        self.head = nn.Linear(config.width, config.n_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def encode(self, x: Tensor, weights: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Cell vectors (cells x width) and, where asked for, the attention of each block."""
        tokens = self.feature_embed(x)
        h = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), tokens], dim=1)
        told = []
        for block in self.blocks:
            h, attention = block(h, weights)
            if attention is not None:
                told.append(attention)
        return self.norm(h)[:, 0], told

    def forward(self, x: Tensor) -> Tensor:
        """Logits, cells x classes, of log-normalized expression, cells x genes."""
        return self.head(self.encode(x)[0])

    def gene_weights(self) -> Tensor:
        """Largest absolute weight of a gene in the units of each pathway, P x g (official `gene2token_weights`)."""
        return self.feature_embed.fe.weight.detach().abs().view(self.config.n_tokens, self.config.width, -1).amax(dim=1)


def rollout(attention: list[Tensor]) -> Tensor:
    """Attention rollout (Abnar and Zuidema 2020): how much the cell vector draws from each token, cells x P.

    The heads' mean plus the identity, rows scaled to sum 1, multiplied over the blocks; the row of the cls token
    without its own column.

    Parameters
    ----------
    attention
        For each block, cells x heads x (P + 1) x (P + 1).
    """
    joint: Tensor | None = None
    for layer in attention:
        mixed = layer.mean(dim=1)
        mixed = mixed + torch.eye(mixed.shape[-1], device=mixed.device)
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        joint = mixed if joint is None else mixed @ joint
    if joint is None:
        raise ValueError("a network without blocks has no attention")
    return joint[:, 0, 1:]
