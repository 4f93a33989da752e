"""The scFoundation network: expressed genes through an encoder, all genes through a decoder.

Modules and parameters carry the names of the official file (without its prefix), so a state dict is a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.scfoundation.config import ScFoundationConfig
from sceval.models.scfoundation.decoder import Decoder
from sceval.models.scfoundation.tokens import MASK_VALUE, PAD_VALUE
from sceval.models.scgpt.encoder import EncoderLayer
from sceval.models.transformer.network import TransformerNetwork


class ValueEmbedding(nn.Module):
    """A scalar as a soft choice among bins (auto-discretization); the codes for mask and padding have own vectors."""

    def __init__(self, width: int, n_bins: int, alpha: float) -> None:
        super().__init__()
        self.mlp = nn.Linear(1, n_bins)
        self.mlp2 = nn.Linear(n_bins, n_bins)
        self.emb = nn.Embedding(n_bins, width)
        self.emb_mask = nn.Embedding(1, width)
        self.emb_pad = nn.Embedding(1, width)
        self.alpha = alpha

    def bin_weights(self, values: Tensor) -> Tensor:
        """Softmax over bins, shape (..., n_bins)."""
        hidden = F.leaky_relu(self.mlp(values.unsqueeze(-1)), 0.1)
        return torch.softmax(self.alpha * hidden + self.mlp2(hidden), dim=-1)

    def forward(self, values: Tensor) -> Tensor:
        """Vectors of the values, shape (..., width)."""
        out = self.bin_weights(values) @ self.emb.weight
        for code, table in ((MASK_VALUE, self.emb_mask), (PAD_VALUE, self.emb_pad)):
            out = torch.where((values == code).unsqueeze(-1), table.weight[0].to(out.dtype), out)
        return out


class Encoder(nn.Module):
    """Post-norm layers and a final LayerNorm."""

    def __init__(self, c: ScFoundationConfig) -> None:
        super().__init__()
        self.transformer_encoder = nn.ModuleList(
            EncoderLayer(c.d_model, c.n_heads, c.d_ff, c.dropout, c.dropout) for _ in range(c.n_layers)
        )
        self.norm = nn.LayerNorm(c.d_model)

    def forward(self, x: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Encode (cells, positions, width); ``pad_mask`` is True at padding, None where nothing is padded."""
        keep = None if pad_mask is None else ~pad_mask[:, None, None, :]
        for layer in self.transformer_encoder:
            x = layer(x, keep)
        return self.norm(x)


class ScFoundation(TransformerNetwork):
    """Mini-batches are those of `Tokens.batch`: ``gene_ids``, ``values``, ``lengths``, perhaps ``pad_mask``."""

    def __init__(self, config: ScFoundationConfig) -> None:
        super().__init__()
        self.config = c = config
        self.token_emb = ValueEmbedding(c.d_model, c.n_bins, c.bin_alpha)
        self.pos_emb = nn.Embedding(c.n_genes + 3, c.d_model)
        self.encoder = Encoder(c)
        self.decoder_embed = nn.Linear(c.d_model, c.decoder_width)
        self.decoder = Decoder(c)
        self.norm = nn.LayerNorm(c.decoder_width)
        self.to_final = nn.Linear(c.decoder_width, 1)

    @property
    def layers(self) -> nn.ModuleList:
        """Blocks of the encoder."""
        return self.encoder.transformer_encoder

    def hidden(self, gene_ids: Tensor, values: Tensor, pad_mask: Tensor | None = None) -> Tensor:
        """Encoder output at every position, (cells, positions, width)."""
        return self.encoder(self.token_emb(values) + self.pos_emb(gene_ids), pad_mask)

    def _encoded(self, batch: Mapping[str, Tensor]) -> Tensor:
        return self.hidden(batch["gene_ids"], batch["values"], batch.get("pad_mask"))

    def contextual(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Encoder output, and the position in the gene list at each place, -1 at T, S and padding."""
        ids = batch["gene_ids"]
        return self._encoded(batch), ids.masked_fill(ids >= self.config.n_genes, -1)

    def encode(self, batch: Mapping[str, Tensor], pool: str | None = None) -> Tensor:
        """Cell vectors, cells x width, of cells with their depth tokens; ``pool`` as in the config, or another."""
        hidden, pool = self._encoded(batch), pool or self.config.pool
        if pool == "max":
            padded = (batch["gene_ids"] > self.config.n_genes + 1).unsqueeze(-1)
            return hidden.masked_fill(padded, -torch.inf).amax(dim=1)
        rows, last = torch.arange(hidden.shape[0], device=hidden.device), batch["lengths"] - 1
        genes = (batch["gene_ids"] < self.config.n_genes).unsqueeze(-1)
        largest = hidden.masked_fill(~genes, -torch.inf).amax(dim=1)
        mean = (hidden * genes).sum(dim=1) / genes.sum(dim=1)
        return torch.cat([hidden[rows, last], hidden[rows, last - 1], largest, mean], dim=-1)

    def max_pool(self, batch: Mapping[str, Tensor], *, padding: bool = False) -> Tensor:
        """Largest output over positions, as the official fine-tuning head sees a cell.

        With ``padding`` the padded positions take part, as upstream's do (its result then depends on the neighbors).
        """
        hidden, padded = self._encoded(batch), batch.get("pad_mask")
        if padded is not None and not padding:
            hidden = hidden.masked_fill(padded.unsqueeze(-1), -torch.inf)
        return hidden.amax(dim=1)

    def decode(self, batch: Mapping[str, Tensor], stabilizer: str = "cell") -> Tensor:
        """Decoder output of every gene, then T and S: (cells, n_genes + 2, decoder width)."""
        hidden = self._encoded(batch)
        n, total = hidden.shape[0], self.config.n_genes + 2
        zero = self.token_emb(hidden.new_zeros(1, 1))
        # One row more than positions: padding is written there and cut off.
        full = zero.to(hidden.dtype).expand(n, total + 1, -1).clone()
        full = full.scatter(1, batch["gene_ids"].unsqueeze(-1).expand_as(hidden), hidden)[:, :total]
        full = full + self.pos_emb.weight[:total]
        return self.norm(self.decoder(self.decoder_embed(full), stabilizer))

    def gene_vectors(self, batch: Mapping[str, Tensor], stabilizer: str = "cell") -> Tensor:
        """Vector of every gene of the list in the context of a cell, (cells, n_genes, decoder width)."""
        return self.decode(batch, stabilizer)[:, : self.config.n_genes]

    def expression(self, batch: Mapping[str, Tensor], stabilizer: str = "cell") -> Tensor:
        """Predicted log1p CP10k of every gene of the list at the target depth, (cells, n_genes)."""
        return self.to_final(self.gene_vectors(batch, stabilizer)).squeeze(-1)

    def input_modules(self) -> list[nn.Module]:
        """Value and gene embedding."""
        return [self.token_emb, self.pos_emb]

    def gene_table(self) -> Tensor:
        """Static gene vectors, (n_genes, d_model)."""
        return self.pos_emb.weight[: self.config.n_genes]
