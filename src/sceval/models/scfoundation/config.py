"""Sizes of an scFoundation network, as they follow from a checkpoint's tensors and its config."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScFoundationConfig:
    """Everything that decides which tensors a network has.

    Parameters
    ----------
    n_genes
        Genes of the fixed list; two positions (T, S) and a row for padding come on top.
    width, n_layers, n_heads, d_ff
        Encoder: width, layers, attention heads, feed-forward width.
    n_bins, bin_alpha
        Bins of the value embedding, weight of its residual.
    decoder_width, decoder_layers, decoder_heads, decoder_head_width, decoder_ff, n_features
        Decoder (Performer); ``n_features`` random features of a head.
    dropout
        Dropout of the encoder (0 in evaluation mode).
    """

    n_genes: int = 19_264
    width: int = 768
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

    def __post_init__(self) -> None:
        if self.width % self.n_heads:
            raise ValueError(f"width {self.width} is not divisible by {self.n_heads} attention heads")
