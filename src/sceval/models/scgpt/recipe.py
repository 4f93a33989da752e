"""Hyper-parameters: each declared once, with the value that the official recipe or the small model has.

A parameter at its "recipe" default (0 or -1, as its help says) takes a value that depends on verb and regime; what
a run really used is in its facts.
"""

from __future__ import annotations

from typing import Any

from sceval.models import genes as gene_names
from sceval.models.params import Param
from sceval.models.scgpt import options
from sceval.models.transformer import params as shared

_RECIPE = "0 = the recipe's"

PARAMS: tuple[Param, ...] = (
    Param("n_hvg", -1, "Variable genes: -1 = the recipe's, 0 = every known gene.", low=-1, high=100_000),
    Param("n_bins", 51, "Bins of expression values, the zero bin included.", low=3, high=1000),
    Param("binning", "one", "Ties in bins: one = top bin (pre-training), both = drawn.", choices=("one", "both")),
    Param("max_length", 0, f"Most tokens of a cell, cls included; {_RECIPE}.", low=0, high=100_000),
    Param("min_gene_counts", -1.0, "Least counts of a gene over all cells; -1 = the recipe's.", low=-1, high=1e9),
    Param("cls_value", "recipe", "Value of the cls token.", choices=("recipe", "pad", "zero")),
    Param("mask_ratio", -1.0, "Share of values hidden in training; -1 = the recipe's.", low=-1, high=1),
    Param("dropout", -1.0, "Dropout; -1 = the recipe's.", low=-1, high=0.99),
    Param("attention_dropout", -1.0, "Dropout on attention; -1 = dropout on CUDA, 0 on a CPU.", low=-1, high=0.99),
    Param("zero_prob_weight", 1.0, "Weight of the two likelihoods of being expressed.", low=0, high=1e4),
    Param("mvc_weight", 1.0, "Weight of predicting expression from the cell vector.", low=0, high=1e4),
    Param("ecs_weight", 10.0, "Weight of elastic cell similarity.", low=0, high=1e4),
    Param("ecs_threshold", 0.8, "Cosine above which cells are pulled together, below it pushed apart.", low=0, high=1),
    Param("dab_weight", 1.0, "Weight of the adversarial batch classifier.", low=0, high=1e4),
    Param("dsbn", True, "Normalize the input batch by batch in integration; with mini-batches of one batch each."),
    Param("d_model", 64, "Width of a model from scratch.", low=4, high=4096),
    Param("n_layers", 2, "Layers of a model from scratch.", low=1, high=96),
    Param("n_heads", 4, "Attention heads of a model from scratch.", low=1, high=128),
    Param("d_ff", 0, "Feed-forward width of a model from scratch; 0 = its width.", low=0, high=16_384),
    *options.PARAMS,
    *shared.TRAINING,
    *shared.REGIMES,
    shared.GENE_VECTORS,
    *gene_names.PARAMS,
)

_ZERO_SHOT = {"n_hvg": 0, "max_length": 1200, "batch_size": 64, "min_gene_counts": 0.0, "cls_value": "pad"}

#: Published settings (official notebooks), by verb.
OFFICIAL: dict[str, dict[str, Any]] = {
    "embed-cells": _ZERO_SHOT,
    "embed-genes": _ZERO_SHOT,
    # The official corpus has 1,200 tokens a cell and ratios of 0.25, 0.5 and 0.75; this is a small model's share.
    "pretrain": {**_ZERO_SHOT, "max_length": 128, "batch_size": 32, "epochs": 10, "lr": 1e-3, "mask_ratio": 0.4},
    "integrate": {
        "n_hvg": 1200,
        "max_length": 0,
        "batch_size": 64,
        "min_gene_counts": 3.0,
        "cls_value": "zero",
        "epochs": 15,
        "lr": 1e-4,
        "gamma": 0.9,
        "mask_ratio": 0.4,
        "dropout": 0.2,
    },
    "annotate": {
        "n_hvg": 0,
        "max_length": 3001,
        "batch_size": 32,
        "min_gene_counts": 0.0,
        "cls_value": "zero",
        "epochs": 10,
        "lr": 1e-4,
        "gamma": 0.9,
        "mask_ratio": 0.0,
        "dropout": 0.2,
    },
}

#: What a small model from scratch needs instead; measured on the 700 embedded cells.
SCRATCH: dict[str, dict[str, Any]] = {
    # Many small steps: with 32 cells a step, five epochs end on the plateau of the genes' means.
    "integrate": {"n_hvg": 128, "epochs": 7, "lr": 3e-3, "batch_size": 8, "dropout": 0.0},
    "annotate": {"n_hvg": 256, "epochs": 10, "lr": 3e-3, "batch_size": 16, "dropout": 0.0},
}

#: What training a classifier on fixed cell vectors needs instead: an epoch costs next to nothing.
FROZEN: dict[str, dict[str, Any]] = {"annotate": {"epochs": 100, "lr": 1e-3, "gamma": 0.98}}


def resolve(verb: str, regime: str, params: dict[str, Any], device: str = "cpu") -> dict[str, Any]:
    """Fill in every default: the parameter's own, then the recipe's for verb and regime.

    Parameters
    ----------
    verb, regime
        As on the command line.
    params
        Given values; missing ones take their declared default.
    device
        ``cpu`` or ``cuda``: attention dropout is off on a CPU, where it would forbid the fused kernel.

    Raises
    ------
    ValueError
        Unknown parameter.
    """
    study = verb == "annotate" and params.get("recipe") == "study"
    recipes: dict[Any, dict[str, Any]] = dict(OFFICIAL) | ({"annotate": options.STUDY} if study else {})
    recipes |= {(name, "scratch"): values for name, values in SCRATCH.items()}
    recipes |= {(name, "frozen"): options.STUDY if study else values for name, values in FROZEN.items()}
    recipes |= options.RECIPES
    out = shared.resolve(PARAMS, recipes, verb, regime, params)
    if out["dropout"] == -1:
        out["dropout"] = 0.0
    if out["attention_dropout"] == -1:
        out["attention_dropout"] = out["dropout"] if device == "cuda" else 0.0
    return out
