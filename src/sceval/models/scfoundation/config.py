"""Sizes of an scFoundation network, as they follow from a checkpoint's tensors and its config."""

from __future__ import annotations

from dataclasses import dataclass

POOLS = ("all", "max")


@dataclass(frozen=True)
class ScFoundationConfig:
    """Everything that decides which tensors a network has.

    Parameters
    ----------
    n_genes
        Genes of the fixed list; two positions (T, S) and a row for padding come on top.
    d_model, n_layers, n_heads, d_ff
        Encoder: width, layers, attention heads, feed-forward width.
    n_bins, bin_alpha
        Bins of the value embedding, weight of its residual.
    decoder_width, decoder_layers, decoder_heads, decoder_head_width, decoder_ff, n_features
        Decoder (Performer); ``n_features`` random features of a head.
    dropout
        Dropout of the encoder (0 in evaluation mode).
    pool
        Cell vector: ``all`` (outputs at S and T, largest and mean over genes; 4 x ``d_model``) or ``max``.
    """

    n_genes: int = 19_264
    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 12
    d_ff: int = 3072
    n_bins: int = 100
    bin_alpha: float = 1.0
    decoder_width: int = 512
    decoder_layers: int = 6
    decoder_heads: int = 8
    decoder_head_width: int = 64
    decoder_ff: int = 2048
    n_features: int = 266
    dropout: float = 0.1
    pool: str = "all"

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"width {self.d_model} is not divisible by {self.n_heads} attention heads")
        if self.pool not in POOLS:
            raise ValueError(f"unknown pool {self.pool!r}; choose one of {', '.join(POOLS)}")

    @property
    def width(self) -> int:
        """Length of a cell vector."""
        return self.d_model * (4 if self.pool == "all" else 1)
