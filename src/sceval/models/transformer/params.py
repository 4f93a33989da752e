"""Hyper-parameters of the shared verbs, each declared once, and the recipes that fill in their defaults.

A parameter whose help says "the recipe's" takes a value that depends on model, verb and regime; what a run really used
is in its facts (`params_used`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sceval.models.params import Param
from sceval.training.optim import OPTIMIZERS

_RECIPE = "0 = the recipe's"

BATCH_SIZE = Param("batch_size", 0, f"Cells per mini-batch; {_RECIPE}.", low=0, high=100_000)
MIXED_PRECISION = Param("mixed_precision", True, "bfloat16 autocast, on CUDA only.")

#: What every model that trains has.
TRAINING: tuple[Param, ...] = (
    Param("epochs", 0, f"Training epochs; {_RECIPE}.", low=0, high=10_000),
    BATCH_SIZE,
    Param("optimizer", "adam", "Optimizer.", choices=OPTIMIZERS),
    Param("lr", 0.0, f"Learning rate; {_RECIPE}.", low=0, high=10),
    Param("gamma", 0.0, f"Factor on the learning rate after each epoch; {_RECIPE}.", low=0, high=1),
    Param("weight_decay", 0.0, "Weight decay.", low=0, high=10),
    Param("adam_eps", 1e-8, "Epsilon of Adam (official scGPT: 1e-4 under half precision).", low=1e-12, high=1),
    Param("clip_norm", 1.0, "Largest global gradient norm; 0 = no clipping.", low=0, high=1e6),
    Param(
        "patience", 0, "Epochs without a better validation value before stopping; 0 = never stop.", low=0, high=10_000
    ),
    Param("validation_fraction", 0.1, "Share of the training cells that picks the epoch.", low=0, high=0.9),
    MIXED_PRECISION,
)

#: What fine-tuning adds.
REGIMES: tuple[Param, ...] = (
    Param("frozen_layers", -1, "Lower layers fixed in `frozen`; -1 = the whole backbone.", low=-1, high=1000),
    Param("lora_rank", 0, "Rank of LoRA on the attention projections in `finetune`; 0 = off.", low=0, high=1024),
    Param("lora_alpha", 16.0, "LoRA adds alpha / rank times its product.", low=0, high=1e4),
)

#: What embedding genes adds.
GENE_VECTORS = Param(
    "gene_vectors",
    "contextual",
    "Gene embedding: contextual = mean over the cells in which the gene occurs, static = table of the network.",
    choices=("contextual", "static"),
)

#: Recipes where a model gives none.
DEFAULTS: dict[Any, dict[str, Any]] = {
    "embed-cells": {"batch_size": 64},
    "embed-genes": {"batch_size": 64},
    "annotate": {"epochs": 10, "batch_size": 32, "lr": 1e-4, "gamma": 0.9},
    "classify-genes": {"epochs": 10, "batch_size": 16, "lr": 1e-4, "gamma": 0.9},
    "pretrain": {"epochs": 10, "batch_size": 32, "lr": 1e-3, "gamma": 0.9},
    ("annotate", "scratch"): {"lr": 1e-3, "batch_size": 16},
    ("classify-genes", "scratch"): {"lr": 1e-3},
    # An epoch on stored vectors costs next to nothing.
    ("annotate", "frozen"): {"epochs": 100, "lr": 1e-3, "gamma": 0.98},
    ("classify-genes", "frozen"): {"lr": 1e-3},
}


def resolve(
    declared: Iterable[Param],
    recipes: Mapping[Any, Mapping[str, Any]],
    verb: str,
    regime: str,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Fill in every default: a parameter left at its declared default takes the recipe's value where there is one.

    Parameters
    ----------
    declared
        Parameters of the model.
    recipes
        Values by verb, and by (verb, regime), which come on top; those of the model over `DEFAULTS`. `frozen` with
        `frozen_layers` of 0 or more trains a network and takes the recipe of `finetune`.
    verb, regime
        As on the command line.
    given
        Values from the user; missing ones take their default.

    Raises
    ------
    ValueError
        Unknown parameter.
    """
    defaults = {param.name: param.default for param in declared}
    if unknown := sorted(set(given) - set(defaults)):
        raise ValueError(f"unknown parameters: {', '.join(unknown)}")
    out = defaults | dict(given)
    like = "finetune" if regime == "frozen" and out.get("frozen_layers", -1) >= 0 else regime
    recipe: dict[str, Any] = {}
    for key in (verb, (verb, like)):
        recipe |= {**DEFAULTS.get(key, {}), **recipes.get(key, {})}
    for name, value in recipe.items():
        if name in defaults and out[name] == defaults[name]:
            out[name] = value
    return out
