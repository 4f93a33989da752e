"""`sceval-model` of the toy."""

from __future__ import annotations

from sceval.models import genes
from sceval.models.params import Param
from sceval.models.request import Info
from sceval.models.transformer import params
from sceval.models.transformer.program import Transformer, transformer_program

INFO = Info(
    name="toy",
    title="Toy",
    version="1.0.0",
    verbs=("embed-cells", "embed-genes", "annotate", "classify-genes"),
    regimes={
        "embed-cells": ("zero_shot", "probe", "scratch"),
        "embed-genes": ("zero_shot", "probe"),
        "annotate": ("frozen", "frozen_embeddings", "finetune", "scratch"),
        "classify-genes": ("frozen", "frozen_embeddings", "finetune", "scratch"),
    },
    needs_weights=("zero_shot", "probe", "frozen", "frozen_embeddings", "finetune"),
    organisms=("human",),
    gene_ids="gene_symbol",
    min_genes_recognised=0.3,
    uses_labels=("annotate",),
    params=(
        Param("max_length", 64, "Most genes of a cell.", low=1, high=10_000),
        Param("width", 16, "Width of a model from scratch.", low=2, high=1024),
        Param("dropout", 0.0, "Dropout.", low=0, high=0.99),
        *genes.PARAMS,
        *params.TRAINING,
        *params.REGIMES,
        params.GENE_VECTORS,
    ),
    uses_code_of=("transformer",),
)
MODEL = Transformer(INFO, __package__, recipes={"annotate": {"epochs": 4, "batch_size": 8, "lr": 0.01}})
main = transformer_program(MODEL)
