"""`sceval-model` of CellLM."""

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
        "cls",
        "Cell vector, which the official code does not define: the cls position, or the mean over genes or all.",
        choices=("cls", "genes", "all"),
    ),
    Param(
        "max_length",
        0,
        "Positions of the padded sequence, which changes results; 0 = as trained (official: 6000).",
        low=0,
        high=100_000,
    ),
    *performer.NETWORK,
    *performer.INPUT,
    *performer.SIZES,
    *params.TRAINING,
    *params.REGIMES,
    *gene_names.PARAMS,
)

INFO = Info(
    name="cellm",
    title="CellLM",
    version="1.0.0",
    verbs=("embed-cells", "annotate"),
    regimes={"embed-cells": ("zero_shot", "probe"), "annotate": ("frozen", "finetune", "scratch")},
    needs_weights=("zero_shot", "probe", "frozen", "finetune"),
    organisms=("human",),
    gene_ids="gene_symbol",
    min_genes_recognised=0.2,
    uses_labels=("annotate",),
    weights="folder with checkpoint4_fixed.pth and the gene order (zheng68k_hgnc.h5ad or gene_list.txt)",
    gpu="optional",
    memory_mb=6000,
    licence="Apache-2.0 (this code); official weights: no licence stated, upstream code MIT",
    citation="Zhao et al. 2023, arXiv:2306.04371",
    uses_code_of=("performer", "transformer"),
    params=PARAMS,
)

#: Contrast needs two views of a cell that differ.
_PRETRAIN = {"pretrain": {**performer.RECIPES["pretrain"], "dropout": 0.1}}

MODEL = Transformer(INFO, __package__, recipes=performer.RECIPES | _PRETRAIN)

main = transformer_program(MODEL)
