"""`sceval-model` of tGPT."""

from __future__ import annotations

from dataclasses import replace

from sceval.models import genes as gene_names
from sceval.models.params import Param
from sceval.models.request import Info
from sceval.models.transformer import params
from sceval.models.transformer.program import Transformer, transformer_program

PARAMS = (
    Param(
        "max_length", 64, "Most positions of a cell, begin and end included (the `-128` file: 128).", low=3, high=4096
    ),
    Param("exclude", True, "Leave out RPL*, RPS*, MT-*, MALAT1 and NEAT1, which the official rankings do not hold."),
    Param(
        "unknown",
        "drop",
        "Genes that the vocabulary lacks: drop, or upstream (they take places as the unknown token).",
        choices=("drop", "upstream"),
    ),
    Param("type_ids", True, "Add the vector of token 0 at every position, as the official runs did."),
    Param(
        "dropout", -1.0, "All three dropout rates; -1 = those of the checkpoint, 0.3 from scratch.", low=-1, high=0.9
    ),
    Param("d_model", 64, "Width (scratch).", low=4, high=4096),
    Param("n_layers", 2, "Blocks (scratch).", low=1, high=100),
    Param("n_heads", 4, "Attention heads (scratch).", low=1, high=100),
    *params.TRAINING,
    *params.REGIMES,
    # The model's own gene vectors are the rows of its token table.
    replace(params.GENE_VECTORS, default="static"),
    *gene_names.PARAMS,
)

INFO = Info(
    name="tgpt",
    title="tGPT",
    version="1.0.0",
    verbs=("embed-cells", "embed-genes", "annotate"),
    regimes={
        "embed-cells": ("zero_shot", "probe"),
        "embed-genes": ("zero_shot", "probe"),
        "annotate": ("frozen", "finetune", "scratch"),
    },
    needs_weights=("zero_shot", "probe", "frozen", "finetune"),
    organisms=("human",),
    gene_ids="gene_symbol",
    min_genes_recognised=0.2,
    uses_labels=("annotate",),
    weights="folder with config.json, pytorch_model.bin (or model.safetensors), tokenizer.json (official tGPT layout)",
    gpu="optional",
    memory_mb=4000,
    licence="Apache-2.0 (this code); official weights: no licence stated, upstream code GPL-3.0",
    citation="Shen et al. 2023, iScience 26:106536",
    uses_code_of=("transformer",),
    params=PARAMS,
)

#: A network from scratch sees a few hundred cells: it overfits within five epochs even so.
MODEL = Transformer(INFO, __package__, recipes={("annotate", "scratch"): {"dropout": 0.3}})

main = transformer_program(MODEL)
