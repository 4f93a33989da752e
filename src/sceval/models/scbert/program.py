"""`sceval-model` of scBERT."""

from __future__ import annotations

from sceval.models import genes as gene_names
from sceval.models.params import Param
from sceval.models.performer import params as performer
from sceval.models.request import Info
from sceval.models.transformer import params
from sceval.models.transformer.program import Transformer, transformer_program

PARAMS = (
    Param(
        "pool",
        "all",
        "Cell vector, which the official code does not define: mean over all positions, over genes, or the last one.",
        choices=("all", "genes", "last"),
    ),
    Param("min_genes", 0, "Cells with fewer known genes get no result (official: 200).", low=0, high=100_000),
    *performer.NETWORK,
    *performer.INPUT,
    *performer.SIZES,
    *params.TRAINING,
    *params.REGIMES,
    *gene_names.PARAMS,
)

INFO = Info(
    name="scbert",
    title="scBERT",
    version="1.0.0",
    verbs=("embed-cells", "annotate"),
    regimes={"embed-cells": ("zero_shot", "probe"), "annotate": ("frozen", "finetune", "scratch")},
    needs_weights=("zero_shot", "probe", "frozen", "finetune"),
    organisms=("human",),
    gene_ids="gene_symbol",
    min_genes_recognised=0.2,
    uses_labels=("annotate",),
    weights="folder with panglao_pretrain.pth and the gene order (panglao_10000.h5ad or reference_genes.txt)",
    gpu="optional",
    memory_mb=6000,
    licence="Apache-2.0 (this code); official weights and code: GPL-3.0",
    citation="Yang et al. 2022, Nat Mach Intell 4:852",
    uses_code_of=("performer", "transformer"),
    params=PARAMS,
)

MODEL = Transformer(INFO, __package__, recipes=performer.RECIPES)

main = transformer_program(MODEL)
