"""`sceval-model` of scFoundation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

from sceval.contract.results import Embedding, GeneEmbedding, Imputed
from sceval.data.genes import Genes
from sceval.models import genes as gene_names
from sceval.models.imputing import asked_rows, rates
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request

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
            "context",
            "Gene vectors: mean of the decoder's vectors over cells, or the static table.",
            choices=("context", "table"),
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
        Param("mixed_precision", True, "bfloat16 autocast, on CUDA only."),
        *gene_names.PARAMS,
    ),
)

T = TypeVar("T")


def _guarded(work: Callable[[], T]) -> T:
    from sceval.models.transformer.loading import CheckpointError, UnfitCheckpoint

    try:
        return work()
    except UnfitCheckpoint as error:
        raise NotApplicable(str(error)) from error
    except CheckpointError as error:
        raise click.ClickException(str(error)) from error


class _Work:
    """The network on its device and the view as tokens."""

    def __init__(self, request: Request, version: str, target: str) -> None:
        from sceval.models.scfoundation import checkpoint
        from sceval.models.scfoundation.tokens import Target, tokenize
        from sceval.training.device import choose_device

        params, view = request.params, request.view
        try:
            Target.parse(target)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--params") from error
        vocabulary = checkpoint.read_genes(request.weights)
        found = gene_names.recognise(request, vocabulary.genes, INFO)
        self.request, self.place = request, choose_device(request.device)
        loaded = checkpoint.load(request.weights, {"version": version}, request.seed)
        self.network = loaded.network.to(self.place)
        named = Genes.from_symbols([name or "" for name in found.names])
        self.cell_ids = [str(name) for name in view.obs_names]
        given = view.uns["sceval"]["matrix"] == "lognorm"
        settings = {"input": params["input"], "pre_normalized": given, "target_depth": target}
        self.tokens = tokenize(view.X, named, self.cell_ids, vocabulary, settings, request.seed)
        self.positions = vocabulary.lookup(named)
        request.facts |= {
            **{name: fact for name, fact in self.tokens.notes.items() if name != "genes_recognised"},
            "device": self.place.type,
            "weights_loaded": loaded.report.as_dict(),
            "weights_sha256": loaded.report.sha256(),
        }
        # That columns of one gene are added up is told by `recognise` already, with their names.
        request.warnings.extend(line for line in self.tokens.warnings if not line.endswith("added up"))

    def finish(self) -> None:
        """Tell what the GPU needed."""
        if self.place.type == "cuda":
            import torch

            self.request.facts["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)


def embed_cells(request: Request) -> Embedding:
    """Embed cells: outputs at the depth tokens S and T, largest and mean over genes."""
    from sceval.models.scfoundation.inference import cell_vectors

    def work() -> Embedding:
        params = request.params
        its = _Work(request, params["version"], params["target_depth"])
        options = {name: params[name] for name in ("pool", "batch_size", "mixed_precision")}
        X = cell_vectors(its.network, its.tokens, its.place, **options)
        its.finish()
        return Embedding(X)

    return _guarded(work)


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
    from sceval.models.scfoundation.inference import drawn_cells, mean_gene_vectors

    def work() -> GeneEmbedding:
        params, view = request.params, request.view
        its = _Work(request, "gene", params["gene_target_depth"])
        known = its.positions >= 0
        unique, inverse = np.unique(its.positions[known], return_inverse=True)
        if params["gene_vectors"] == "table":
            vectors = its.network.gene_table().detach()[unique].float().cpu().numpy()
        else:
            rows = drawn_cells(its.tokens, its.cell_ids, params["gene_cells"], request.seed)
            if not rows.size:
                msg = "no cell expresses a gene that the model knows, so gene vectors in context cannot be made"
                raise NotApplicable(msg)
            request.facts["cells_averaged"] = int(rows.size)
            options = _decoding(request, "embed-genes")
            vectors = mean_gene_vectors(its.network, its.tokens, rows, unique, its.place, **options)
        X = np.full((view.n_vars, vectors.shape[1]), np.nan, dtype=np.float32)
        X[known] = vectors[inverse]
        its.finish()
        return GeneEmbedding(view.var_names, X)

    return _guarded(work)


def impute(request: Request) -> Imputed:
    """Predict the counts of every gene from the expressed genes of a cell, at the depth that the cell has."""
    from sceval.models.scfoundation.inference import expected_counts

    def work() -> Imputed:
        if request.view.uns["sceval"]["matrix"] != "counts":
            msg = "imputed values are counts, and this view holds none"
            raise NotApplicable(msg)
        its = _Work(request, "gene", request.params["gene_target_depth"])
        rows = asked_rows(request)
        X = rates(request.view.X, rows)
        usable = its.tokens.usable[rows]
        known = np.flatnonzero(its.positions >= 0)
        unique, inverse, columns = np.unique(its.positions[known], return_inverse=True, return_counts=True)
        options = _decoding(request, "impute") | {"match_depth": request.params["match_depth"]}
        made = expected_counts(its.network, its.tokens, rows[usable], unique, its.place, **options)
        said = made.sum(axis=1) > 0  # elsewhere the network predicts nothing at all
        target = np.flatnonzero(usable)[said]
        X[np.ix_(target, known)] = (made[said] / columns)[:, inverse]
        _tell_fallbacks(request, len(rows) - target.size, request.view.n_vars - known.size)
        its.finish()
        return Imputed(rows, X)

    return _guarded(work)


def _tell_fallbacks(request: Request, cells: int, columns: int) -> None:
    if cells:
        request.warn(f"{cells} cells got the genes' mean shares of their total: no known gene, or nothing predicted")
    if columns:
        request.warn(f"{columns} genes are unknown to the model and got their mean share of the cell's total")


def known_genes(weights: Path) -> Iterable[str]:
    """Return the genes of the fixed list."""
    from sceval.models.scfoundation.vocabulary import GENE_LIST, Vocabulary, VocabularyError, find

    try:
        return Vocabulary.read(find(weights, GENE_LIST)).genes
    except (VocabularyError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error


main = program(INFO, {"embed-cells": embed_cells, "embed-genes": embed_genes, "impute": impute}, known_genes)
