"""`sceval-model` of scFoundation."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from sceval.contract.results import Embedding, GeneEmbedding, Imputed
from sceval.models import genes as gene_names
from sceval.models.imputing import asked_rows, rates
from sceval.models.params import Param
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.transformer.params import MIXED_PRECISION
from sceval.models.transformer.program import Session, Transformer, transformer_program

INFO = Info(
    name="scfoundation",
    title="scFoundation",
    version="1.0.0",
    verbs=("embed-cells", "embed-genes", "impute"),
    regimes={
        "embed-cells": ("zero_shot", "probe"),
        "embed-genes": ("zero_shot", "probe"),
        "impute": ("zero_shot",),
    },
    needs_weights=("zero_shot", "probe"),
    matrix=("counts", "lognorm"),
    organisms=("human",),
    gene_ids="gene_symbol",
    min_genes_recognised=0.2,
    weights="folder with models.ckpt and OS_scRNA_gene_index.19264.tsv (official scFoundation layout)",
    gpu="optional",
    memory_mb=8000,
    licence="Apache-2.0 (this code); official weights: non-commercial use only (scFoundation model license)",
    citation="Hao et al. 2024, Nat Methods 21:1481",
    uses_code_of=("performer", "transformer", "scgpt"),
    params=(
        Param(
            "version",
            "cell",
            "Network for cell vectors: cell, or rde (read-depth enhancement).",
            choices=("cell", "rde"),
        ),
        Param(
            "pool",
            "all",
            "Cell vector: S, T, largest and mean over genes, or the largest alone.",
            choices=("all", "max"),
        ),
        Param(
            "target_depth",
            "t4",
            "Depth asked for (cell vectors): t4 = 10^4 counts, a5 = 10^5 times the cell's, f2 = twice the cell's.",
        ),
        Param("gene_target_depth", "f1", "Depth asked for where genes are decoded (gene vectors, imputation)."),
        Param("input", "single_cell", "Kind of samples.", choices=("single_cell", "bulk")),
        Param(
            "gene_vectors",
            "contextual",
            "Gene vectors: mean of the decoder's vectors over cells, or the static table.",
            choices=("contextual", "static"),
        ),
        Param("gene_cells", 100, "Cells (drawn) that gene vectors are averaged over; 0 = all.", low=0, high=1e7),
        Param("match_depth", True, "Scale imputed counts of a cell to the total that it has."),
        Param("batch_size", 32, "Most cells per mini-batch of the encoder.", low=1, high=100_000),
        Param("decoder_batch_size", 1, "Cells per mini-batch of the decoder, which holds all genes.", low=1, high=1000),
        Param(
            "stabilizer",
            "cell",
            "Maximum that the decoder's keys are scaled by: of the cell, or of the whole mini-batch (official).",
            choices=("cell", "batch"),
        ),
        MIXED_PRECISION,
        *gene_names.PARAMS,
    ),
)

MODEL = Transformer(INFO, __package__)


def _session(verb: str, request: Request, version: str, target: str) -> Session:
    """The session of a verb: which network of the file, which target depth, and whether values are logs already."""
    from sceval.models.scfoundation.tokens import Target

    try:
        Target.parse(target)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--params") from error
    session = Session.of(MODEL, verb, request)
    given = request.view.uns["sceval"]["matrix"] == "lognorm"
    session.settings.update(version=version, target_depth=target, pre_normalized=given)
    return session


def embed_cells(request: Request) -> Embedding:
    """Embed cells: outputs at the depth tokens S and T, largest and mean over genes."""
    session = _session("embed-cells", request, request.params["version"], request.params["target_depth"])
    from sceval.models.transformer import embed

    return Embedding(embed.embed_cells(session))


def _decoding(request: Request, name: str) -> dict[str, Any]:
    from sceval.training.progress import CountLines

    return {
        "cells_at_once": request.params["decoder_batch_size"],
        "stabilizer": request.params["stabilizer"],
        "mixed_precision": request.params["mixed_precision"],
        "on_progress": CountLines(f"scfoundation {name}"),
    }


def embed_genes(request: Request) -> GeneEmbedding:
    """Embed genes: mean over cells of the decoder's vectors, or the static table."""
    session = _session("embed-genes", request, "gene", request.params["gene_target_depth"])
    from sceval.models.scfoundation.inference import drawn_cells, mean_gene_vectors

    network, ids = session.loaded.network, session.token_ids
    known = ids >= 0
    unique, inverse = np.unique(ids[known], return_inverse=True)
    if request.params["gene_vectors"] == "static":
        vectors = network.gene_table().detach()[unique].float().cpu().numpy()
    else:
        tokens = session.tokenize()
        rows = drawn_cells(tokens, session.cell_ids, request.params["gene_cells"], request.seed)
        if not rows.size:
            msg = "no cell expresses a gene that the model knows, so gene vectors in context cannot be made"
            raise NotApplicable(msg)
        request.facts["cells_averaged"] = int(rows.size)
        vectors = mean_gene_vectors(network, tokens, rows, unique, session.place, **_decoding(request, "embed-genes"))
    X = np.full((ids.size, vectors.shape[1]), np.nan, dtype=np.float32)
    X[known] = vectors[inverse]
    session.tell_device()
    return GeneEmbedding(np.asarray(session.gene_ids, object), X)


def impute(request: Request) -> Imputed:
    """Predict the counts of every gene from the expressed genes of a cell, at the depth that the cell has."""
    if request.view.uns["sceval"]["matrix"] != "counts":
        msg = "imputed values are counts, and this view holds none"
        raise NotApplicable(msg)
    session = _session("impute", request, "gene", request.params["gene_target_depth"])
    from sceval.models.scfoundation.inference import expected_counts

    network, ids, rows = session.loaded.network, session.token_ids, asked_rows(request)
    tokens = session.tokenize(rows)
    X = rates(request.view.X, rows)
    known = np.flatnonzero(ids >= 0)
    unique, inverse, columns = np.unique(ids[known], return_inverse=True, return_counts=True)
    usable = np.flatnonzero(tokens.usable)
    options = _decoding(request, "impute") | {"match_depth": request.params["match_depth"]}
    made = expected_counts(network, tokens, usable, unique, session.place, **options)
    said = made.sum(axis=1) > 0  # elsewhere the network predicts nothing at all
    X[np.ix_(usable[said], session.columns[known])] = (made[said] / columns)[:, inverse]
    _tell_fallbacks(request, len(rows) - int(said.sum()), ids.size - known.size)
    session.tell_device()
    return Imputed(rows, X)


def _tell_fallbacks(request: Request, cells: int, columns: int) -> None:
    if cells:
        request.warn(f"{cells} cells got the genes' mean shares of their total: no known gene, or nothing predicted")
    if columns:
        request.warn(f"{columns} genes are unknown to the model and got their mean share of the cell's total")


main = transformer_program(MODEL, {"embed-cells": embed_cells, "embed-genes": embed_genes, "impute": impute})
