"""What trains in which regime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sceval.models.request import NotApplicable
from sceval.models.transformer.lora import add_lora
from sceval.training.seed import derive_seed

if TYPE_CHECKING:
    from torch import nn

    from sceval.models.transformer.network import TransformerNetwork

TRAINED = ("frozen", "frozen_embeddings", "finetune", "scratch")
"""Regimes in which something is trained."""


def fixed_backbone(regime: str, settings: dict[str, Any]) -> bool:
    """Tell whether the head alone trains, so that the backbone's vectors are computed once."""
    return regime == "frozen" and settings.get("frozen_layers", -1) < 0


def apply_regime(network: TransformerNetwork, regime: str, settings: dict[str, Any], seed: int) -> None:
    """Fix the parameters of a network that the regime does not train.

    - `frozen`: all of them; with `frozen_layers` n of 0 or more the lower n blocks, and the rest trains.
    - `frozen_embeddings`: what `input_modules` lists.
    - `finetune`: what the official code trains (`finetune_rule`); with `lora_rank` LoRA alone.
    - `scratch`: everything trains.

    Raises
    ------
    NotApplicable
        More layers are to be fixed than there are, LoRA is asked for elsewhere than in `finetune` or where the network
        lists no projections, or there is nothing to fix in `frozen_embeddings`.
    """
    rank = settings.get("lora_rank", 0)
    if rank and regime != "finetune":
        raise NotApplicable(f"lora_rank {rank} is for the regime finetune; this run is {regime}")
    network.requires_grad_(True)
    if fixed_backbone(regime, settings):
        network.requires_grad_(False)
    elif regime == "frozen":
        n = settings["frozen_layers"]
        if n > len(network.layers):
            raise NotApplicable(f"frozen_layers is {n}, and the network has {len(network.layers)} layers")
        for layer in list(network.layers)[:n]:
            layer.requires_grad_(False)
    elif regime == "frozen_embeddings":
        modules = network.input_modules()
        if not modules:
            raise NotApplicable("the network names no embeddings of its own, so none can be fixed")
        for module in modules:
            module.requires_grad_(False)
    elif regime == "finetune" and rank:
        names = network.attention_projections()
        if not names:
            raise NotApplicable("the network names no attention projections, so LoRA has no place")
        add_lora(network, names, rank, settings["lora_alpha"], derive_seed(seed, "lora"))
    elif regime == "finetune":
        trains = network.finetune_rule()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(trains(name))


def training_mode(model: nn.Module) -> None:
    """Training mode for what trains; parts that are fixed entirely stay in evaluation mode.

    Dropout in a fixed part would only add noise, and its batch statistics would move although nothing trains.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
