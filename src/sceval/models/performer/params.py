"""Hyper-parameters of both Performer language models, each declared once."""

from __future__ import annotations

from typing import Any

from sceval.models.params import Param

#: What a network computes.
NETWORK = (
    Param(
        "head",
        "official",
        "Classifier: official (all positions) or linear (cell vector).",
        choices=("official", "linear"),
    ),
    Param(
        "head_width",
        0,
        "Width of the official classifier, its second layer a quarter; 0 = the recipe's.",
        low=0,
        high=65_536,
    ),
    Param(
        "stabilizer",
        "cell",
        "Maximum taken off the attention's keys: of the cell alone, or of the whole mini-batch (official).",
        choices=("cell", "batch"),
    ),
    Param(
        "redraw_every",
        0,
        "Random features are drawn anew after so many training steps (official: 1000); 0 = never.",
        low=0,
    ),
    Param("dropout", 0.0, "Dropout of the network.", low=0, high=0.9),
    Param("weights_file", "", "File of the weights, where the folder has several."),
)

#: What it is given.
INPUT = (
    Param(
        "n_hvg",
        -1,
        "Variable genes, chosen on training cells, that annotation shows; 0 = all; -1 = the recipe's.",
        low=-1,
        high=100_000,
    ),
    Param(
        "duplicates",
        "sum",
        "Columns of one gene: their sum, or the first (official).",
        choices=("sum", "first"),
    ),
)

#: How large a network from scratch is.
SIZES = (
    Param("dim", 32, "Width (scratch).", low=4, high=4096),
    Param("depth", 2, "Blocks (scratch).", low=1, high=100),
    Param("heads", 2, "Attention heads (scratch).", low=1, high=100),
    Param("dim_head", 16, "Width of a head (scratch).", low=2, high=1024),
    Param("n_features", 32, "Random features of a head (scratch); 0 = d ln d.", low=0, high=100_000),
)

#: Recipes of both; the official settings but for the mini-batch of 3 cells with gradients of 60 of them added up.
RECIPES: dict[Any, dict[str, Any]] = {
    "embed-cells": {"batch_size": 16},
    "pretrain": {"epochs": 4, "lr": 1e-3, "batch_size": 16, "gamma": 0.9},
    "annotate": {"epochs": 10, "lr": 1e-4, "batch_size": 8, "n_hvg": 0, "head_width": 512},
    ("annotate", "scratch"): {"epochs": 10, "lr": 2e-3, "batch_size": 16, "n_hvg": 256, "head_width": 64},
    ("annotate", "frozen"): {"epochs": 10, "lr": 1e-3, "gamma": 0.9},
}
