"""How the weights of a checkpoint are used: what is fixed, what trains, what a new network looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sceval.models.scgpt.checkpoint import load_checkpoint
from sceval.models.scgpt.config import ScGPTConfig
from sceval.models.scgpt.network import BACKBONE, ScGPT
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.loading import Loaded
from sceval.models.transformer.regimes import training_mode as training_mode

#: What can be fixed. ``embeddings`` is the official annotation notebook's switch: every parameter whose name contains
#: "encoder" but not "transformer_encoder". ``backbone`` is the study's word "frozen": heads alone train. The last two
#: are the study's "encoder-only" (everything fixed but the transformer) and "decoder-only" (but the expression
#: decoder): all that is not in the list of what trains is fixed, other heads included.
FREEZABLE = ("none", "embeddings", "backbone", "all_but_encoder", "all_but_decoder")
_TRAINS = {"all_but_encoder": ("transformer_encoder",), "all_but_decoder": ("decoder",)}


def freeze(model: ScGPT, what: str) -> None:
    """Fix parts of a network: its parameters get no gradient from here on.

    Raises
    ------
    ValueError
        Unknown part.
    """
    if what not in FREEZABLE:
        raise ValueError(f"cannot freeze {what!r}; choose one of {', '.join(FREEZABLE)}")
    for name, parameter in model.named_parameters():
        part = name.split(".", 1)[0]
        if what in _TRAINS:
            # A classifier that a task adds has nothing to start from: it always trains.
            parameter.requires_grad_(part in (*_TRAINS[what], "cls_decoder"))
            continue
        embedding = "encoder" in name and "transformer_encoder" not in name
        fixed = embedding if what == "embeddings" else part in (*BACKBONE, "batch_encoder")
        if what != "none" and fixed:
            parameter.requires_grad_(False)


def new_network(vocabulary: Vocabulary, params: dict[str, Any], seed: int, **parts: Any) -> ScGPT:
    """Build a network with random weights at the size that the parameters name."""
    config = ScGPTConfig(
        n_tokens=max(vocabulary.ids.values()) + 1,
        pad_id=vocabulary.pad_id,
        d_model=params["d_model"],
        n_heads=params["n_heads"],
        d_ff=params["d_ff"] or params["d_model"],
        n_layers=params["n_layers"],
        dropout=params["dropout"],
        attention_dropout=params["attention_dropout"],
        **parts,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ScGPT(config)


def network_for(
    weights: Path | None,
    vocabulary_of: Callable[[], Vocabulary],
    params: dict[str, Any],
    seed: int,
    **parts: Any,
) -> Loaded:
    """Load the checkpoint with other parts (heads, batch terms), or build a new network where there is none.

    Parameters
    ----------
    weights
        Checkpoint folder, or None for random weights.
    vocabulary_of
        Makes the vocabulary of a new network.
    params
        Resolved parameters; sizes are read for a new network only.
    **parts
        Fields of :class:`ScGPTConfig`.
    """
    if weights is None:
        vocabulary = vocabulary_of()
        return Loaded(new_network(vocabulary, params, seed, **parts), vocabulary)
    parts |= {"dropout": params["dropout"], "attention_dropout": params["attention_dropout"]}
    return Loaded(*load_checkpoint(weights, seed=seed, **parts)[:3])
