"""Two blocks of attention, a mean over the genes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from sceval.models.transformer.network import TransformerNetwork


@dataclass(frozen=True)
class Config:
    n_genes: int
    width: int
    n_layers: int = 2
    dropout: float = 0.0


class Block(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.norm, self.dropout, self.out = nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, width)

    def forward(self, x, keep):
        q, k, v = (f(x)[:, None] for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keep[:, None, None, :])[:, 0]
        return self.norm(x + self.dropout(self.out(torch.tanh(mixed))))


class Toy(TransformerNetwork):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.genes = nn.Embedding(config.n_genes, config.width)
        self.values = nn.Linear(1, config.width)
        self.layers = nn.ModuleList(Block(config.width, config.dropout) for _ in range(config.n_layers))

    def contextual(self, batch):
        keep = batch["genes"] >= 0
        x = self.genes(batch["genes"].clamp(min=0)) * (1 + self.values(batch["values"][..., None]))
        for layer in self.layers:
            x = layer(x, keep)
        return x, batch["genes"]

    def encode(self, batch):
        hidden, genes = self.contextual(batch)
        keep = (genes >= 0)[..., None]
        return (hidden * keep).sum(dim=1) / keep.sum(dim=1)

    def gene_table(self):
        return self.genes.weight

    def input_modules(self):
        return [self.genes, self.values]

    def finetune_rule(self):
        return lambda name: not name.startswith("values.")

    def attention_projections(self):
        return [f"layers.{i}.{part}.weight" for i in range(len(self.layers)) for part in ("query", "value")]
