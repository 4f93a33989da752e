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
    Param(
        "impute_folds",
        5,
        "Least folds of genes in imputation: a gene is predicted from those of others.",
        low=2,
        high=1000,
    ),
    Param("match_depth", True, "Scale imputed counts of a cell to the total that it has of the known genes."),
    Param(
        "pool_size",
        0,
        "Control cells that a predicted perturbation is the mean over; 0 = the recipe's.",
        low=0,
        high=1e6,
    ),
    Param(
        "network_from",
        "embedding",
        "Edges from cosines of gene vectors (embedding: the table's, contextual: means over cells) or from attention.",
        choices=("embedding", "contextual", "attention"),
    ),
    Param("network_genes", 2000, "Most genes in a network: sources, then by cells that express them; 0 = all.", low=0),
    Param("network_cells", 1000, "Most cells that a network is read from (drawn); 0 = all.", low=0),
    Param("network_edges", 200_000, "Most edges written, the highest; 0 = all.", low=0),
    Param("simulate_steps", 8, "Least parts in which the genes of a new cell are drawn.", low=1, high=10_000),
    Param(
        "n_peaks",
        -1,
        "Multi-omic: variable features of each modality but RNA: -1 = the recipe's, 0 = all.",
        low=-1,
        high=1e6,
    ),
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

#: Verbs beyond those of the official notebooks' tables, by verb and by (verb, regime).
RECIPES: dict[Any, dict[str, Any]] = {
    "impute": {
        "n_hvg": 0,
        "max_length": 1200,
        "batch_size": 16,
        "min_gene_counts": 0.0,
        "cls_value": "zero",
        "epochs": 10,
        "lr": 1e-4,
        "gamma": 0.9,
        "mask_ratio": 0.4,
        "dropout": 0.2,
    },
    "classify-genes": {
        "n_hvg": 0,
        "max_length": 1200,
        "batch_size": 32,
        "min_gene_counts": 0.0,
        "cls_value": "zero",
        "epochs": 10,
        "lr": 1e-4,
        "gamma": 0.9,
        "dropout": 0.2,
    },
    ("classify-genes", "scratch"): {"epochs": 10, "lr": 3e-3, "batch_size": 16, "dropout": 0.0},
    # Integration of a view with several modalities (official CITE-seq notebook).
    "integrate-modalities": {
        "n_hvg": 1200,
        "n_peaks": 4000,
        "max_length": 4001,
        "batch_size": 16,
        "min_gene_counts": 0.0,
        "cls_value": "zero",
        "epochs": 25,
        "lr": 1e-3,
        "gamma": 0.95,
        "mask_ratio": 0.4,
        "dropout": 0.2,
    },
    ("integrate-modalities", "scratch"): {
        "n_hvg": 128,
        "n_peaks": 128,
        "epochs": 7,
        "lr": 3e-3,
        "batch_size": 8,
        "dropout": 0.0,
    },
    "infer-network": {
        "n_hvg": 0,
        "max_length": 1200,
        "batch_size": 64,
        "min_gene_counts": 0.0,
        "cls_value": "pad",
    },
    "perturb": {
        "n_hvg": 0,
        "max_length": 1536,
        "batch_size": 64,
        "epochs": 15,
        "lr": 1e-4,
        "gamma": 0.9,
        "patience": 10,
        "dropout": 0.0,
        "pool_size": 300,
    },
    ("perturb", "scratch"): {"max_length": 128, "epochs": 5, "lr": 3e-3, "batch_size": 16, "pool_size": 32},
    "simulate": {
        "n_hvg": 0,
        "max_length": 1200,
        "batch_size": 32,
        "min_gene_counts": 0.0,
        "cls_value": "zero",
        "epochs": 15,
        "lr": 1e-4,
        "gamma": 0.95,
        "dropout": 0.2,
    },
    ("simulate", "scratch"): {"max_length": 257, "epochs": 15, "lr": 3e-3, "batch_size": 8, "dropout": 0.0},
    ("impute", "zero_shot"): {"cls_value": "pad"},
    ("impute", "scratch"): {"max_length": 257, "epochs": 7, "lr": 3e-3, "batch_size": 8, "dropout": 0.0},
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
    hidden = float(params["mask_ratio"] > 0)  # where nothing is hidden there is nothing to predict
    weights = {
        "gep": hidden,
        "gep_nzlp": hidden * params["zero_prob_weight"],
        "gepc": hidden * params["mvc_weight"],
        "gepc_nzlp": hidden * params["mvc_weight"] * params["zero_prob_weight"],
        "ecs": params["ecs_weight"],
        "dab": params["dab_weight"] if batches else 0.0,
        "cce": params["cce_weight"],
        "cls": params["cls_weight"] if labels else 0.0,
    }
    return {name: weight for name, weight in weights.items() if weight}
