"""The backbone's parts: gene and value encoders, attention, post-norm layers, per-batch normalization.

Modules and parameters carry the names of the official files (PyTorch spelling), so a state dict is a checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Upstream's epsilon for both batch normalizations.
BATCH_NORM_EPS = 6.1e-5
#: Values above this are clamped before the value encoder.
MAX_VALUE = 512.0


class TokenEncoder(nn.Module):
    """A table of vectors and a LayerNorm (genes, batches)."""

    def __init__(self, n_tokens: int, width: int, padding_idx: int | None = None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, width, padding_idx=padding_idx)
        self.enc_norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors of the ids, shape (..., width)."""
        return self.enc_norm(self.embedding(ids))


class ValueEncoder(nn.Module):
    """Two linear layers on one (binned) value, then LayerNorm; values are clamped at 512."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, width)
        self.linear2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor) -> Tensor:
        """Vectors of the values, shape (..., width)."""
        hidden = F.relu(self.linear1(values.unsqueeze(-1).clamp(max=MAX_VALUE)))
        return self.dropout(self.norm(self.linear2(hidden)))


class SelfAttention(nn.Module):
    """Multi-head self-attention through torch's scaled-dot-product kernels."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        self.n_heads = n_heads
        self.dropout = dropout
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def project(self, x: Tensor, n_queries: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (of the first ``n_queries`` positions), keys, values; each (cells, heads, positions, head width)."""
        if n_queries is None:
            q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            width = x.shape[-1]
            q = F.linear(x[:, :n_queries], self.in_proj_weight[:width], self.in_proj_bias[:width])
            k, v = F.linear(x, self.in_proj_weight[width:], self.in_proj_bias[width:]).chunk(2, dim=-1)
        return self._split(q), self._split(k), self._split(v)

    def forward(self, x: Tensor, keep: Tensor | None, n_queries: int | None = None) -> Tensor:
        """Attend; ``keep`` (cells, 1, 1, positions) is True at keys that count, None where all do."""
        q, k, v = self.project(x, n_queries)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Post-norm transformer layer with a ReLU feed-forward part."""

    def __init__(self, width: int, n_heads: int, d_ff: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, n_heads, attention_dropout)
        self.linear1 = nn.Linear(width, d_ff)
        self.linear2 = nn.Linear(d_ff, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, keep: Tensor | None, n_queries: int | None = None) -> Tensor:
        """Output at every position, or at the first ``n_queries`` only (nothing else is computed for them)."""
        residual = x if n_queries is None else x[:, :n_queries]
        x = self.norm1(residual + self.dropout(self.self_attn(x, keep, n_queries)))
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm2(x + self.dropout(self.linear2(hidden)))


class TransformerEncoder(nn.Module):
    """A stack of layers, no final norm."""

    def __init__(self, layers: list[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, pad_mask: Tensor | None, *, cls_only: bool = False) -> Tensor:
        """Encode.

        Parameters
        ----------
        x
            Cells x positions x width.
        pad_mask
            True at padding; None where nothing is padded (then the fastest kernels apply).
        cls_only
            Return position 0 alone; the last layer then computes one query per cell.
        """
        keep = None if pad_mask is None else ~pad_mask[:, None, None, :]
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            x = layer(x, keep, 1 if cls_only and i == last else None)
        return x[:, :1] if cls_only else x


class DomainBatchNorm(nn.Module):
    """One batch normalization without affine terms per batch of cells (DSBN), over cells and positions."""

    def __init__(self, width: int, n_domains: int) -> None:
        super().__init__()
        self.bns = nn.ModuleList(nn.BatchNorm1d(width, eps=BATCH_NORM_EPS, affine=False) for _ in range(n_domains))

    def forward(self, x: Tensor, batch_labels: Tensor) -> Tensor:
        """Normalize; all cells of the mini-batch must come from one batch (upstream would use the first cell's)."""
        domain = int(batch_labels[0])
        if bool((batch_labels != domain).any()):
            raise ValueError("domain-specific normalization needs mini-batches of cells from a single batch")
        return normalize_tokens(self.bns[domain], x)


def normalize_tokens(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Apply a batch normalization over cells and positions to (cells, positions, width)."""
    return norm(x.transpose(1, 2)).transpose(1, 2)
