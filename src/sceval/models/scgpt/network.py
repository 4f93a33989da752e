"""The scGPT network (perception mode: what every released task uses)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.scgpt.config import ScGPTConfig
from sceval.models.scgpt.encoder import (
    BATCH_NORM_EPS,
    DomainBatchNorm,
    EncoderLayer,
    TokenEncoder,
    TransformerEncoder,
    ValueEncoder,
    normalize_tokens,
)
from sceval.models.scgpt.heads import (
    AdversarialDiscriminator,
    AffineExprDecoder,
    ClsDecoder,
    ExprDecoder,
    MVCDecoder,
    StudyClassifier,
)
from sceval.models.scgpt.shape import ShapedScGPT

#: Parameters with these first names belong to the backbone; a checkpoint must supply every one of them.
BACKBONE = ("encoder", "value_encoder", "transformer_encoder", "bn", "pert_encoder")


@dataclass
class ScGPTOutput:
    """What a forward pass returns; parts that the network lacks or that were not asked for are None.

    ``zero_prob`` and ``mvc_zero_prob`` are probabilities of being **non-zero** (the name is upstream's).
    """

    cell: Tensor
    expression: Tensor | None = None
    zero_prob: Tensor | None = None
    mvc: Tensor | None = None
    mvc_zero_prob: Tensor | None = None
    classes: Tensor | None = None
    batches: Tensor | None = None
    second: Tensor | None = None


class ScGPT(ShapedScGPT):
    """Encoder over a set of (gene, value) tokens, position 0 standing for the cell.

    Inputs are cells x positions: ``gene_ids`` int64, ``values`` float, ``pad_mask`` True at padding (None where
    nothing is padded); ``batch_labels`` one int64 per cell, needed where the network has batch terms.
    """

    def __init__(self, config: ScGPTConfig) -> None:
        super().__init__()
        self.config = c = config
        attention_dropout = c.dropout if c.attention_dropout is None else c.attention_dropout
        self.encoder = TokenEncoder(c.n_tokens, c.d_model, padding_idx=c.pad_id)
        self.value_encoder = ValueEncoder(c.d_model, c.dropout)
        if c.n_perts:
            self.pert_encoder = nn.Embedding(c.n_perts, c.d_model, padding_idx=c.pert_pad_id)
        if c.n_batches:
            self.batch_encoder = TokenEncoder(c.n_batches, c.d_model)
        if c.n_domains:
            self.dsbn = DomainBatchNorm(c.d_model, c.n_domains)
        if c.batch_norm:
            self.bn = nn.BatchNorm1d(c.d_model, eps=BATCH_NORM_EPS)
        self.transformer_encoder = TransformerEncoder(
            [EncoderLayer(c.d_model, c.n_heads, c.d_ff, c.dropout, attention_dropout) for _ in range(c.n_layers)]
        )
        d_in = 2 * c.d_model if c.n_batches else c.d_model
        if c.decoder == "affine":
            self.decoder = AffineExprDecoder(c.d_model)
        elif c.decoder == "plain":
            self.decoder = ExprDecoder(d_in, c.d_model, c.zero_prob, c.n_value_bins)
        if c.mvc:
            self.mvc_decoder = MVCDecoder(c.d_model, d_in, c.zero_prob, c.n_value_bins)
        if c.n_classes:
            study = c.cls_style == "study"
            self.cls_decoder = (
                StudyClassifier(c.d_model, c.n_classes) if study else ClsDecoder(c.d_model, c.n_classes, c.n_cls_layers)
            )
        if c.discriminator:
            self.grad_reverse_discriminator = AdversarialDiscriminator(c.d_model, c.discriminator)
        nn.init.uniform_(self.encoder.embedding.weight, -0.1, 0.1)

    def embed_inputs(
        self,
        gene_ids: Tensor,
        values: Tensor | None,
        batch_labels: Tensor | None = None,
        pert_flags: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Gene vectors, and what enters the transformer (genes + values + flags, normalized), both (B, L, d)."""
        genes = self.encoder(gene_ids)
        total = genes if values is None else genes + self.value_encoder(values)
        if pert_flags is not None:
            total = total + self.pert_encoder(pert_flags)
        if self.config.n_domains:
            total = self.dsbn(total, self._need(batch_labels))
        elif self.config.batch_norm:
            total = normalize_tokens(self.bn, total)
        return genes, total

    def _need(self, batch_labels: Tensor | None) -> Tensor:
        if batch_labels is None:
            raise ValueError("this network has batch terms (batch encoder or DSBN): batch_labels are needed")
        return batch_labels

    def _with_batch(self, x: Tensor, batch_labels: Tensor | None) -> Tensor:
        """Concatenate the batch vector, at every position or to the cell vector."""
        if not self.config.n_batches:
            return x
        batch = self.batch_encoder(self._need(batch_labels))
        if x.dim() == 3:
            batch = batch[:, None, :].expand(-1, x.shape[1], -1)
        return torch.cat([x, batch], dim=-1)

    def encode_cells(
        self,
        gene_ids: Tensor,
        values: Tensor,
        pad_mask: Tensor | None = None,
        batch_labels: Tensor | None = None,
    ) -> Tensor:
        """Cell vectors (B, d), not normalized; no decoder runs, and the last layer computes position 0 only."""
        _, total = self.embed_inputs(gene_ids, values, batch_labels)
        return self.transformer_encoder(total, pad_mask, cls_only=True)[:, 0]

    def forward(
        self,
        gene_ids: Tensor,
        values: Tensor,
        pad_mask: Tensor | None = None,
        batch_labels: Tensor | None = None,
        *,
        pert_flags: Tensor | None = None,
        expression: bool = True,
        mvc: bool = False,
        classes: bool = False,
        batches: bool = False,
        at: Tensor | None = None,
    ) -> ScGPTOutput:
        """Encode and decode; each flag asks for one head.

        With ``at`` (cells x positions, True where wanted), expression is decoded at those positions only and comes as
        one flat vector in row order: a training loss that looks at hidden positions needs no others.
        """
        genes, total = self.embed_inputs(gene_ids, values, batch_labels, pert_flags)
        hidden = self.transformer_encoder(total, pad_mask)
        output = ScGPTOutput(cell=hidden[:, 0])
        if expression and self.config.decoder == "affine":
            output.expression = self.decoder(hidden, values)
        elif expression:
            wanted = self._with_batch(hidden, batch_labels)
            output.expression, output.zero_prob = self.decoder(wanted if at is None else wanted[at])
        if mvc:
            cell = self._with_batch(output.cell, batch_labels)
            if at is not None:
                # One "cell" for each wanted position, so that the decoder sees (positions, 1, d).
                cell, genes = cell.repeat_interleave(at.sum(dim=1), dim=0), genes[at][:, None]
            output.mvc, output.mvc_zero_prob = self.mvc_decoder(cell, genes)
            if at is not None:
                output.mvc = output.mvc[:, 0]
                output.mvc_zero_prob = None if output.mvc_zero_prob is None else output.mvc_zero_prob[:, 0]
        if classes:
            output.classes = self.cls_decoder(output.cell)
        if batches:
            output.batches = self.grad_reverse_discriminator(output.cell)
        return output

    def generate(
        self,
        cell: Tensor,
        gene_ids: Tensor,
        values: Tensor | None = None,
        pad_mask: Tensor | None = None,
        batch_labels: Tensor | None = None,
    ) -> Tensor:
        """Expression of the genes from a given cell vector, which replaces position 0 of the input; (B, L)."""
        _, total = self.embed_inputs(gene_ids, values, batch_labels)
        total = torch.cat([cell[:, None, :].to(total.dtype), total[:, 1:]], dim=1)
        hidden = self.transformer_encoder(total, pad_mask)
        return self.decoder(self._with_batch(hidden, batch_labels))[0]


def normalize_cells(cells: Tensor) -> Tensor:
    """Scale each cell vector to length 1."""
    return F.normalize(cells, dim=-1)
