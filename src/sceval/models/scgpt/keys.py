"""Names and shapes in official checkpoint files: spellings, and the network that a file describes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sceval.models.scgpt.config import ScGPTConfig

if TYPE_CHECKING:
    from torch import Tensor

#: Row 1 marks genes to be generated in pre-training; perception mode never reads this table.
UNUSED = ("flag_encoder.weight",)


def native_name(key: str) -> str:
    """PyTorch spelling of a tensor name, free of ``module.`` and flash-attention names. Nothing is permuted."""
    key = key.removeprefix("module.").replace("self_attn._impl.", "self_attn.")
    return key.replace("self_attn.Wqkv.weight", "self_attn.in_proj_weight").replace(
        "self_attn.Wqkv.bias", "self_attn.in_proj_bias"
    )


def flash_name(key: str) -> str:
    """Spelling of the official whole-human file for a native name."""
    return key.replace("self_attn.in_proj_weight", "self_attn.Wqkv.weight").replace(
        "self_attn.in_proj_bias", "self_attn.Wqkv.bias"
    )


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """One more than the largest number matched by the pattern's group; 0 where nothing matches."""
    found = [int(m.group(1)) for key in tensors if (m := re.match(pattern, key))]
    return max(found) + 1 if found else 0


def _rows(tensors: Mapping[str, Tensor], key: str) -> int:
    return int(tensors[key].shape[0]) if key in tensors else 0


def _pert_pad_id(tensors: Mapping[str, Tensor], args: Mapping[str, Any]) -> int:
    """Row of the perturbation flags that is fixed at zero: named in the arguments, else the row that is all zero."""
    if "pert_pad_id" in args or "pert_encoder.weight" not in tensors:
        return int(args.get("pert_pad_id", 0))
    zero = (tensors["pert_encoder.weight"] == 0).all(dim=1).nonzero().flatten().tolist()
    return int(zero[0]) if zero else 0


def config_from_tensors(tensors: Mapping[str, Tensor], args: Mapping[str, Any], pad_id: int) -> ScGPTConfig:
    """Describe the network of a file.

    Sizes come from the tensors; ``args.json`` supplies only what no shape tells (heads, dropout, pert_pad_id).

    Raises
    ------
    KeyError
        A tensor that every scGPT file has is missing.
    """
    n_tokens, width = tensors["encoder.embedding.weight"].shape
    affine = "decoder.coeff_decoder.fc.0.weight" in tensors
    plain = "decoder.fc.0.weight" in tensors
    cls_linears = sum(bool(re.fullmatch(r"cls_decoder\._decoder\.\d+\.weight", k)) for k in tensors) // 2
    return ScGPTConfig(
        n_tokens=int(n_tokens),
        pad_id=pad_id,
        d_model=int(width),
        n_heads=int(args["nheads"]),
        d_ff=int(tensors["transformer_encoder.layers.0.linear1.weight"].shape[0]),
        n_layers=_count(tensors, r"transformer_encoder\.layers\.(\d+)\."),
        dropout=float(args.get("dropout", 0.2)),
        n_classes=_rows(tensors, "cls_decoder.out_layer.weight"),
        n_cls_layers=cls_linears + 1 if "cls_decoder.out_layer.weight" in tensors else int(args.get("n_layers_cls", 3)),
        n_batches=_rows(tensors, "batch_encoder.embedding.weight"),
        n_domains=_count(tensors, r"dsbn\.bns\.(\d+)\."),
        batch_norm="bn.weight" in tensors,
        cls_style="study" if "cls_decoder.mlp.0.weight" in tensors else "official",
        n_value_bins=logits if (logits := _rows(tensors, "decoder.fc.4.weight")) > 1 else 0,
        decoder="affine" if affine else "plain" if plain else "none",
        zero_prob="decoder.zero_logit.0.weight" in tensors,
        mvc="mvc_decoder.W.weight" in tensors,
        discriminator=_rows(tensors, "grad_reverse_discriminator.out_layer.weight"),
        n_perts=_rows(tensors, "pert_encoder.weight"),
        pert_pad_id=_pert_pad_id(tensors, args),
    )
