"""Hyper-parameters of what the scEval study varied beside the official recipes (its losses, its initial settings)."""

from __future__ import annotations

from typing import Any

from sceval.models.params import Param

PARAMS: tuple[Param, ...] = (
    Param(
        "recipe",
        "official",
        "Annotation: official = cross-entropy alone; study = with masked values, ECS and batches, and its classifier.",
        choices=("official", "study"),
    ),
    Param(
        "reconstruction",
        "mse",
        "Loss of hidden values: squared error of the bin's number, or cross-entropy over bins (the study's default).",
        choices=("mse", "cross_entropy"),
    ),
    Param("use_labels", False, "Integration also learns the cell types of the view (the study's `with labels`)."),
    Param("cls_weight", 1.0, "Weight of the cell types where they come with other losses.", low=0, high=1e4),
    Param("cce_weight", 0.0, "Weight of telling a cell from others in a second pass (contrastive).", low=0, high=1e4),
)

#: Annotation with the study's losses (its script of 2023).
STUDY: dict[str, Any] = {
    "n_hvg": 2000,
    "max_length": 2001,
    "batch_size": 64,
    "min_gene_counts": 3.0,
    "cls_value": "zero",
    "epochs": 10,
    "lr": 1e-4,
    "gamma": 0.9,
    "mask_ratio": 0.4,
    "dropout": 0.2,
}


def value_bins(params: dict[str, Any]) -> int:
    """Logits of the decoders: one for each bin where values are learned by cross-entropy, else none."""
    return params["n_bins"] if params["reconstruction"] == "cross_entropy" else 0


def loss_weights(params: dict[str, Any], *, batches: bool, labels: bool) -> dict[str, float]:
    """Weights of the terms of integration and of the study's annotation; a term with weight 0 is left out.

    Parameters
    ----------
    params
        Resolved parameters.
    batches
        Whether there are batches to unlearn.
    labels
        Whether there are cell types to learn.
    """
    weights = {
        "gep": 1.0,
        "gep_nzlp": params["zero_prob_weight"],
        "gepc": params["mvc_weight"],
        "gepc_nzlp": params["mvc_weight"] * params["zero_prob_weight"],
        "ecs": params["ecs_weight"],
        "dab": params["dab_weight"] if batches else 0.0,
        "cce": params["cce_weight"],
        "cls": params["cls_weight"] if labels else 0.0,
    }
    return {name: weight for name, weight in weights.items() if weight}
