"""scGPT as the shared verbs see a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sceval.models.scgpt.heads import ClsDecoder
from sceval.models.transformer.network import TransformerNetwork


class ShapedScGPT(TransformerNetwork):
    """What `ScGPT` adds to its official methods; mini-batches are dictionaries of its arguments."""

    unit_length = True

    @property
    def layers(self) -> nn.ModuleList:
        """Blocks from the input on."""
        return self.transformer_encoder.layers

    def encode(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Cell vectors: the output at the cls position."""
        return self.encode_cells(batch["gene_ids"], batch["values"], batch.get("pad_mask"), batch.get("batch_labels"))

    def contextual(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs at all positions; those with a value above 0 are expressed genes."""
        _, total = self.embed_inputs(batch["gene_ids"], batch["values"], batch.get("batch_labels"))
        hidden = self.transformer_encoder(total, batch.get("pad_mask"))
        tokens = torch.where(batch["values"] > 0, batch["gene_ids"], -1)
        tokens[:, 0] = -1  # cls
        return hidden, tokens

    def gene_table(self) -> Tensor:
        """Gene vectors as they enter the network: table and LayerNorm."""
        return self.encoder(torch.arange(self.config.n_tokens, device=self.encoder.embedding.weight.device))

    def new_head(self, n_classes: int, settings: dict[str, Any]) -> nn.Module:
        """The official classifier."""
        return ClsDecoder(self.config.d_model, n_classes, self.config.n_cls_layers)

    def input_modules(self) -> list[nn.Module]:
        """What the official annotation notebook's switch fixes: encoders of genes, values, batches, perturbations."""
        names = ("encoder", "value_encoder", "batch_encoder", "pert_encoder")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def pretraining_loss(
        self,
        batch: Mapping[str, Tensor],
        *,
        mask_ratio: float = 0.4,
        generator: torch.Generator | None = None,
        **_: Any,
    ) -> tuple[Tensor, dict[str, float]]:
        """Masked values (GEP) and values from the cell vector (GEPC, the MVC decoder), both as mean squared errors.

        `mask_ratio` of the positions that are neither padding nor cls are hidden (Cui et al. 2024, Methods).
        """
        from sceval.models.scgpt.objectives import TensorBatch, weighted_loss  # it imports the network made of this
        from sceval.models.scgpt.tokens import MASK_VALUE

        values, pads = batch["values"], batch.get("pad_mask")
        hidden = torch.rand(values.shape, generator=generator, device=values.device) < mask_ratio
        hidden[:, 0] = False
        if pads is not None:
            hidden &= ~pads
        if not bool(hidden.any()):
            hidden[0, 1] = True
        masked = TensorBatch(
            batch["gene_ids"], values.masked_fill(hidden, MASK_VALUE), pads, target=values, mask=hidden
        )
        return weighted_loss(self, masked, {"gep": 1.0, "gepc": 1.0})

    def attention_projections(self) -> list[str]:
        """Fused query, key and value of each layer."""
        return [f"transformer_encoder.layers.{i}.self_attn.in_proj_weight" for i in range(len(self.layers))]
