"""`sceval-model` of Geneformer."""

from __future__ import annotations

from sceval.contract.results import InSilico, Network
from sceval.models.geneformer.recipe import PARAMS, RECIPES
from sceval.models.request import Info, Request
from sceval.models.transformer.program import Session, Transformer, transformer_program

INFO = Info(
    name="geneformer",
    title="Geneformer",
    version="1.0.0",
    verbs=("embed-cells", "embed-genes", "annotate", "classify-genes", "infer-network", "perturb-insilico"),
    regimes={
        "embed-cells": ("zero_shot", "probe"),
        "embed-genes": ("zero_shot", "probe"),
        "annotate": ("frozen", "finetune", "scratch"),
        "classify-genes": ("frozen", "finetune", "scratch"),
        "infer-network": ("zero_shot",),
        "perturb-insilico": ("zero_shot",),
    },
    needs_weights=("zero_shot", "probe", "frozen", "finetune"),
    organisms=("human",),
    gene_ids="ensembl_id",
    min_genes_recognised=0.2,
    uses_labels=("annotate", "classify-genes"),
    weights="folder with config.json, model.safetensors or pytorch_model.bin, and the four *_dict*.pkl of its version "
    "(official Geneformer layout, V1 or V2)",
    gpu="optional",
    memory_mb=6000,
    licence="Apache-2.0 (this code and the official weights)",
    citation="Theodoris et al. 2023, Nature 618:616; Chen et al. 2024, bioRxiv 2024.08.16.608180",
    params=PARAMS,
    uses_code_of=("transformer",),
)

MODEL = Transformer(INFO, __package__, recipes=RECIPES)


def infer_network(request: Request) -> Network:
    """Score edges between genes: from attention, or from how alike their vectors are."""
    session = Session.of(MODEL, "infer-network", request)
    from sceval.models.geneformer import infer

    return infer.infer_network(session, request.view)


def perturb_insilico(request: Request) -> InSilico:
    """Delete or overexpress genes, one at a time, and measure how far the cells' vectors move."""
    session = Session.of(MODEL, "perturb-insilico", request)
    from sceval.models.geneformer import insilico

    return insilico.perturb_insilico(session, request.view)


main = transformer_program(MODEL, {"infer-network": infer_network, "perturb-insilico": perturb_insilico})
