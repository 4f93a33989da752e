"""Sizes of a Geneformer network, as the official config.json (a BERT config) gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ACTIVATIONS = ("relu", "gelu", "gelu_new")
POOLINGS = ("auto", "cls", "cell")
LAYERS = (-1, 0)


@dataclass(frozen=True)
class GeneformerConfig:
    """What a network is made of.

    Attributes
    ----------
    n_tokens, width, n_layers, n_heads, d_ff
        Vocabulary with specials, hidden size, encoder layers, attention heads, inner size of the feed-forward parts.
    max_positions
        Most tokens of a cell, specials included (2,048 in V1, 4,096 in V2).
    n_types
        Rows of the token-type table, of which the first alone is used.
    activation, eps, dropout, attention_dropout, initializer_range
        As in BERT (Devlin et al. 2019).
    pad_id, mask_id, cls_id, eos_id
        Ids of the special tokens; the last two are None in V1.
    pooling
        What a cell's vector is: `cls` (position 0), `cell` (mean over gene positions), `auto` (cls where the model has
        the token, else cell; the defaults of the official extractor).
    emb_layer
        Where it is read: 0 = last hidden state, -1 = second-to-last (the official default).
    """

    n_tokens: int
    width: int
    n_layers: int
    n_heads: int
    d_ff: int
    max_positions: int
    n_types: int = 2
    activation: str = "relu"
    eps: float = 1e-12
    dropout: float = 0.02
    attention_dropout: float = 0.02
    initializer_range: float = 0.02
    pad_id: int = 0
    mask_id: int = 1
    cls_id: int | None = None
    eos_id: int | None = None
    pooling: str = "auto"
    emb_layer: int = -1

    def __post_init__(self) -> None:
        sizes = ("n_tokens", "width", "n_layers", "n_heads", "d_ff", "max_positions", "n_types")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.width % self.n_heads:
            raise ValueError(f"hidden size {self.width} is not divisible by {self.n_heads} attention heads")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"hidden_act is {self.activation!r}; known: {', '.join(ACTIVATIONS)}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling is {self.pooling!r}; choose one of {', '.join(POOLINGS)}")
        if self.emb_layer not in LAYERS:
            raise ValueError(f"emb_layer is {self.emb_layer}; choose -1 (second-to-last) or 0 (last)")
        if self.pooling == "cls" and self.cls_id is None:
            raise ValueError("pooling is 'cls', but this model (V1) has no <cls> token; choose 'cell'")

    @property
    def pooled(self) -> str:
        """Pooling with `auto` resolved."""
        if self.pooling == "auto":
            return "cell" if self.cls_id is None else "cls"
        return self.pooling

    @property
    def specials(self) -> tuple[int, ...]:
        """Ids that stand for no gene and keep their place: cls and eos, where the model has them."""
        return tuple(i for i in (self.cls_id, self.eos_id) if i is not None)


def config_from_json(told: Mapping[str, Any], **more: Any) -> GeneformerConfig:
    """Read an official config.json.

    Parameters
    ----------
    told
        Its content; fields of transformers 4.6 as well as of later versions.
    **more
        Fields of :class:`GeneformerConfig` that the file does not know (ids of specials, pooling, layer), or that are
        to differ from it.

    Raises
    ------
    KeyError
        A size is absent.
    ValueError
        Not a BERT config, or one with parts that no Geneformer has.
    """
    kind = told.get("model_type", "bert")
    if kind != "bert":
        raise ValueError(f"model_type is {kind!r}; a Geneformer is a BERT model ('bert')")
    positions = told.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise ValueError(f"position_embedding_type is {positions!r}; only 'absolute' (all released models) works")
    if told.get("is_decoder"):
        raise ValueError("is_decoder is set; a Geneformer is an encoder")
    names = {
        "n_tokens": "vocab_size",
        "width": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "d_ff": "intermediate_size",
        "max_positions": "max_position_embeddings",
    }
    act = told.get("hidden_act", "gelu")
    found = {ours: int(told[theirs]) for ours, theirs in names.items()} | {
        "n_types": int(told.get("type_vocab_size", 2)),
        "activation": "gelu_new" if act == "gelu_pytorch_tanh" else act,
        "eps": float(told.get("layer_norm_eps", 1e-12)),
        "dropout": float(told.get("hidden_dropout_prob", 0.1)),
        "attention_dropout": float(told.get("attention_probs_dropout_prob", 0.1)),
        "initializer_range": float(told.get("initializer_range", 0.02)),
    }
    return GeneformerConfig(**(found | more))


def config_to_json(config: GeneformerConfig) -> dict[str, Any]:
    """Return the content of an official config.json (the fields of transformers 4.44)."""
    return {
        "architectures": ["BertForMaskedLM"],
        "attention_probs_dropout_prob": config.attention_dropout,
        "classifier_dropout": None,
        "hidden_act": config.activation,
        "hidden_dropout_prob": config.dropout,
        "hidden_size": config.width,
        "initializer_range": config.initializer_range,
        "intermediate_size": config.d_ff,
        "layer_norm_eps": config.eps,
        "max_position_embeddings": config.max_positions,
        "model_type": "bert",
        "num_attention_heads": config.n_heads,
        "num_hidden_layers": config.n_layers,
        "pad_token_id": config.pad_id,
        "position_embedding_type": "absolute",
        "torch_dtype": "float32",
        "type_vocab_size": config.n_types,
        "use_cache": True,
        "vocab_size": config.n_tokens,
    }
