"""Names of tensors: the official files' (Hugging Face BERT) and ours."""

from __future__ import annotations

import re

_EMBEDDINGS = {
    "word_embeddings.weight": "word.weight",
    "position_embeddings.weight": "position.weight",
    "token_type_embeddings.weight": "kind.weight",
    "LayerNorm": "norm",
}
_BLOCK = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}
_HEADS = {
    "cls.predictions.transform.dense": "masked_head.dense",
    "cls.predictions.transform.LayerNorm": "masked_head.norm",
    "cls.predictions.bias": "masked_head.bias",
    "pooler.dense": "cell_head.pooler",
    "classifier": "cell_head.classifier",
}
DECODER_WEIGHT, DECODER_BIAS = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"
POSITION_IDS = "embeddings.position_ids"


def _table() -> dict[str, str]:
    out = {f"embeddings.{theirs}": f"embeddings.{ours}" for theirs, ours in _EMBEDDINGS.items()}
    return out | _HEADS


_NATIVE = _table()
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")


def native_name(name: str) -> str:
    """Return our name of an official one, with or without `bert.`; a name that is unknown comes back as it is.

    Files of TensorFlow descent say `LayerNorm.gamma` and `.beta` for weight and bias.
    """
    name = re.sub(r"(LayerNorm\.)(gamma|beta)$", lambda m: m[1] + {"gamma": "weight", "beta": "bias"}[m[2]], name)
    name = name.removeprefix("bert.")
    if layer := _LAYER.fullmatch(name):
        part = _BLOCK.get(layer[2])
        return name if part is None else f"layers.{layer[1]}.{part}.{layer[3]}"
    if name in _NATIVE:
        return _NATIVE[name]
    stem, _, leaf = name.rpartition(".")
    return f"{_NATIVE[stem]}.{leaf}" if stem in _NATIVE and leaf in ("weight", "bias") else name


def official_name(name: str) -> str:
    """Return the official name of one of ours.

    Raises
    ------
    KeyError
        The name is none of the network's or of the head's.
    """
    if name.startswith("layers."):
        _, number, part, leaf = name.split(".")
        theirs = next(official for official, ours in _BLOCK.items() if ours == part)
        return f"bert.encoder.layer.{number}.{theirs}.{leaf}"
    for theirs, ours in _NATIVE.items():
        official = theirs if theirs.startswith(("cls.", "classifier")) else f"bert.{theirs}"
        if name == ours:
            return official
        if name.rpartition(".")[0] == ours:
            return f"{official}.{name.rpartition('.')[2]}"
    raise KeyError(name)


def is_backbone(name: str) -> bool:
    """Whether a tensor (our name) belongs to the encoder, as opposed to a head."""
    return not name.startswith(("masked_head.", "cell_head.", "cls.", "pooler."))
