"""Sizes and optional parts of a scGPT network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScGPTConfig:
    """Everything that decides which tensors a network has.

    Parameters
    ----------
    n_tokens, pad_id
        Rows of the gene table and the row of the padding token.
    d_model, n_heads, d_ff, n_layers
        Width, attention heads, feed-forward width, encoder layers.
    dropout, attention_dropout
        Dropout on residuals, feed-forward and values; on attention weights (``None`` = the same). Any attention
        dropout forbids torch's fused attention on a CPU.
    n_classes, n_cls_layers, cls_style
        Classes of the cell classifier (0 = no classifier), its depth, and its kind: ``official``, or ``study`` (two
        layers with batch normalization and Mish, whatever the depth).
    n_batches
        Batches known to the batch encoder of the decoders (0 = none).
    n_domains
        Branches of the domain-specific batch normalization (0 = none).
    batch_norm
        An affine batch normalization (``bn.*``) on the summed input, as written by versions before 0.2.
    decoder
        ``plain``, ``affine`` (coefficient x input + bias; perturbation) or ``none``.
    zero_prob
        Decoders also predict the probability that a gene is expressed.
    mvc
        Expression prediction from the cell vector.
    n_value_bins
        Decoders give one logit for each bin of the value instead of the value (0 = the value); ``plain`` only.
    discriminator
        Batches told apart by the adversarial discriminator (0 = none).
    pert_pad_id, n_perts
        Perturbation flags; ``n_perts`` 0 = not a perturbation model.
    """

    n_tokens: int
    pad_id: int
    d_model: int = 512
    n_heads: int = 8
    d_ff: int = 512
    n_layers: int = 12
    dropout: float = 0.2
    attention_dropout: float | None = None
    n_classes: int = 0
    n_cls_layers: int = 3
    cls_style: str = "official"
    n_batches: int = 0
    n_domains: int = 0
    batch_norm: bool = False
    decoder: str = "plain"
    zero_prob: bool = False
    mvc: bool = True
    n_value_bins: int = 0
    discriminator: int = 0
    n_perts: int = 0
    pert_pad_id: int = 0

    @property
    def width(self) -> int:
        """Length of a cell vector."""
        return self.d_model

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"width {self.d_model} is not divisible by {self.n_heads} attention heads")
        if self.decoder not in ("plain", "affine", "none"):
            raise ValueError(f"unknown decoder {self.decoder!r}")
        if self.cls_style not in ("official", "study"):
            raise ValueError(f"unknown classifier {self.cls_style!r}")
        if self.n_domains and self.batch_norm:
            raise ValueError("domain-specific and plain batch normalization exclude each other")
