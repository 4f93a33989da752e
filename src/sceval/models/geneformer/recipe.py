"""Hyper-parameters of Geneformer, and what the official code takes where the user gives none."""

from __future__ import annotations

from sceval.models.genes import PARAMS as GENE_PARAMS
from sceval.models.params import Param
from sceval.models.transformer import params as shared

PARAMS: tuple[Param, ...] = (
    Param(
        "max_tokens",
        0,
        "Most tokens of a cell, specials included; 0 = as many as the model has (V1 2,048, V2 4,096; from scratch one "
        "for each gene, at most 128).",
        low=0,
        high=100_000,
    ),
    Param(
        "pooling",
        "auto",
        "Cell vector: cls (position 0), cell (mean over genes), auto = cls for V2 and cell for V1, as upstream.",
        choices=("auto", "cls", "cell"),
    ),
    Param("emb_layer", -1, "Hidden state read: -1 = second-to-last (upstream), 0 = last.", choices=(-1, 0)),
    Param("dropout", -1.0, "Dropout in training; -1 = the checkpoint's, 0 from scratch.", low=-1, high=0.9),
    Param("attention_dropout", -1.0, "Dropout on attention; -1 = the checkpoint's (slow on a CPU).", low=-1, high=0.9),
    Param("width", 64, "From scratch: hidden size.", low=4, high=4096),
    Param("n_layers", 2, "From scratch: layers.", low=1, high=64),
    Param("n_heads", 4, "From scratch: attention heads.", low=1, high=64),
    Param("d_ff", 128, "From scratch: inner size of the feed-forward parts.", low=4, high=16384),
    Param(
        "network_from",
        "attention",
        "Edges from attention between genes, or cosines of their vectors: embedding (static), contextual.",
        choices=("attention", "embedding", "contextual"),
    ),
    Param("network_genes", 2000, "Most genes in a network: sources, then by cells that express them; 0 = all.", low=0),
    Param("network_cells", 1000, "Most cells that a network is read from (drawn); 0 = all.", low=0),
    Param("network_edges", 200_000, "Most edges written, the highest; 0 = all.", low=0),
    Param("perturbation", "delete", "In-silico perturbation.", choices=("delete", "overexpress")),
    Param("perturb_genes", "", "Genes to perturb, comma-separated ids or symbols; empty = the next parameter's."),
    Param("perturb_most", 50, "Genes to perturb where none is named, those that most cells express; 0 = all.", low=0),
    Param("perturb_cells", 200, "Most cells to perturb (drawn); 0 = all.", low=0),
    Param("goal", "", "Cell type of `obs['cell_type']` towards which the shift is measured too; empty = none."),
    *shared.TRAINING,
    *shared.REGIMES,
    shared.GENE_VECTORS,
    *GENE_PARAMS,
)

#: Official fine-tuning of cells: batch 12, 10 epochs, lr 5e-5, AdamW with weight decay 0.001 (Theodoris et al. 2023);
#: of genes: one epoch. From scratch: sizes and rates that learn 700 cells in about ten seconds on two cores.
_OFFICIAL = {"optimizer": "adamw", "weight_decay": 1e-3, "lr": 5e-5, "batch_size": 12, "gamma": 0.9}
RECIPES = {
    "embed-cells": {"batch_size": 64},
    "embed-genes": {"batch_size": 64},
    "infer-network": {"batch_size": 32},
    "perturb-insilico": {"batch_size": 32},
    # lr 1e-3 and weight decay 0.001 are V1's; the sizes are those of the small checkpoints.
    "pretrain": {
        "epochs": 5,
        "batch_size": 32,
        "lr": 1e-3,
        "gamma": 0.8,
        "optimizer": "adamw",
        "weight_decay": 1e-3,
        "n_layers": 3,
        "max_tokens": 256,
    },
    ("annotate", "finetune"): {**_OFFICIAL, "epochs": 10},
    ("classify-genes", "finetune"): {**_OFFICIAL, "epochs": 1},
    ("annotate", "scratch"): {"epochs": 10, "lr": 2e-3, "batch_size": 16, "gamma": 0.9},
}
