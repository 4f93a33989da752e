"""Names and shapes in official files of Performer models, and the sizes that they tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sceval.models.performer.network import PerformerConfig

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = r"performer\.net\.layers\.(\d+)\."
#: Official name (pattern) -> ours.
_NAMES = (
    (_BLOCK + r"0\.norm\.(weight|bias)", r"performer.layers.\1.attention_norm.\2"),
    (_BLOCK + r"0\.fn\.fast_attention\.projection_matrix", r"performer.layers.\1.projection"),
    (_BLOCK + r"0\.fn\.(to_q|to_k|to_v|to_out)\.(weight|bias)", r"performer.layers.\1.\2.\3"),
    (_BLOCK + r"1\.norm\.(weight|bias)", r"performer.layers.\1.feed_forward_norm.\2"),
    (_BLOCK + r"1\.fn\.fn\.(w1|w2)\.(weight|bias)", r"performer.layers.\1.\2.\3"),
    (r"pos_emb\.emb\.weight", r"pos_emb.weight"),
)
_BACK = (
    (r"performer\.layers\.(\d+)\.attention_norm\.(\w+)", r"performer.net.layers.\1.0.norm.\2"),
    (r"performer\.layers\.(\d+)\.projection", r"performer.net.layers.\1.0.fn.fast_attention.projection_matrix"),
    (r"performer\.layers\.(\d+)\.(to_q|to_k|to_v|to_out)\.(\w+)", r"performer.net.layers.\1.0.fn.\2.\3"),
    (r"performer\.layers\.(\d+)\.feed_forward_norm\.(\w+)", r"performer.net.layers.\1.1.norm.\2"),
    (r"performer\.layers\.(\d+)\.(w1|w2)\.(\w+)", r"performer.net.layers.\1.1.fn.fn.\2.\3"),
    (r"pos_emb\.weight", r"pos_emb.emb.weight"),
)


def _translate(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, ours in table:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, ours, name)
    return name


def native_name(name: str) -> str:
    """Our name of a tensor of the backbone; names that are not its stay as they are."""
    return _translate(name, _NAMES)


def official_name(name: str) -> str:
    """Name in official files of a tensor of ours."""
    return _translate(name, _BACK)


def is_backbone(name: str) -> bool:
    """Whether a tensor (our name) belongs to what a classifier keeps; the counter of calls only tells of training."""
    return name.split(".", 1)[0] in ("token_emb", "pos_emb", "performer", "norm") and not name.endswith("last_redraw")


def config_from_tensors(tensors: Mapping[str, Tensor], **behavior: object) -> PerformerConfig:
    """Read the sizes of the stack from its tensors (our names).

    Raises
    ------
    KeyError
        A tensor of the first block that tells a size is missing.
    ValueError
        Shapes that no Performer has.
    """
    found = [int(m[1]) for name in tensors if (m := re.match(r"performer\.layers\.(\d+)\.", name))]
    n_features, dim_head = tensors["performer.layers.0.projection"].shape
    inner, dim = tensors["performer.layers.0.to_q.weight"].shape
    if inner % dim_head:
        raise ValueError(f"inner width {inner} of the attention is no multiple of the head width {dim_head}")
    return PerformerConfig(
        dim=int(dim),
        depth=max(found) + 1,
        heads=int(inner // dim_head),
        dim_head=int(dim_head),
        n_features=int(n_features),
        d_ff=int(tensors["performer.layers.0.w1.weight"].shape[0]),
        qkv_bias="performer.layers.0.to_q.bias" in tensors,
        **behavior,
    )
