"""`sceval-model` of UCE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sceval.contract.results import Embedding
from sceval.models import genes as gene_names
from sceval.models.params import Param
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.transformer.params import MIXED_PRECISION
from sceval.models.transformer.program import Session, Transformer, transformer_program

PARAMS = (
    Param("sample_size", 1024, "Genes drawn for each cell, with replacement.", low=1, high=100_000),
    Param(
        "padding",
        "masked",
        "Padding in attention: masked, or upstream (it takes part, so that a vector depends on its mini-batch).",
        choices=("masked", "upstream"),
    ),
    Param(
        "upstream_batch", 100, "Cells of a mini-batch of `padding: upstream`, in the file's order.", low=1, high=100_000
    ),
    Param(
        "draws",
        "per_cell",
        "Random draws: per_cell (by seed and cell id), or upstream (one generator through the file).",
        choices=("per_cell", "upstream"),
    ),
    Param("min_cells", 0, "Use genes seen in at least this many cells of the file (official: 10).", low=0, high=1e9),
    Param("min_genes", 0, "Cells with fewer genes get a row of NaN (official: 25, dropped).", low=0, high=1e6),
    Param("model_file", "", "Checkpoint in the folder, where it holds several (4layer_model.torch)."),
    Param("n_heads", 20, "Attention heads; no file tells them.", low=1, high=1000),
    Param("chromosome_offset", 0, "Row of the first chromosome token; 0 = worked out.", low=0, high=1e9),
    Param("batch_size", 16, "Cells per mini-batch.", low=1, high=100_000),
    MIXED_PRECISION,
    gene_names.GENE_NAMES,
)

INFO = Info(
    name="uce",
    title="UCE",
    version="1.0.0",
    verbs=("embed-cells",),
    regimes={"embed-cells": ("zero_shot", "probe")},
    needs_weights=("zero_shot", "probe"),
    organisms=("human", "mouse"),
    gene_ids="gene_symbol",
    min_genes_recognised=0.2,
    weights="folder with 4layer_model.torch or 33l_8ep_1024t_1280.torch, species_chrom.csv, species_offsets.pkl, "
    "protein_embeddings/ (official UCE layout; all_tokens.torch is not needed)",
    gpu="optional",
    memory_mb=12_000,
    licence="Apache-2.0 (this code); upstream code MIT, official weights on figshare",
    citation="Rosen et al. 2023, bioRxiv 2023.11.28.568918",
    uses_code_of=("transformer",),
    params=PARAMS,
)

MODEL = Transformer(INFO, __package__)


def embed_cells(request: Request) -> Embedding:
    """Embed cells: the decoded vector of a sentence of drawn genes, of length 1."""
    session = Session.of(MODEL, "embed-cells", request)
    from sceval.models.transformer import embed
    from sceval.models.uce.tokens import Part, frequent

    settings = session.settings
    if settings["min_cells"]:
        _keep_columns(session, frequent(session.counts[:], settings["min_cells"]))
    if "upstream" not in (settings["padding"], settings["draws"]):
        return Embedding(embed.embed_cells(session))
    whole = session.tokenize(np.arange(len(session.cell_ids)))
    return Embedding(embed.embed_cells(session, lambda rows: Part(whole, rows)))


def _keep_columns(session: Session, kept: np.ndarray) -> None:
    """Leave out genes that too few cells express."""
    if not kept.any():
        msg = f"no gene is expressed in {session.settings['min_cells']} cells or more"
        raise NotApplicable(msg)
    if kept.all():
        return
    session.warnings.append(
        f"{int((~kept).sum())} genes are seen in fewer than {session.settings['min_cells']} cells and are not used"
    )
    genes, rows = session.genes, np.flatnonzero(kept)
    session.genes = replace(genes, symbols=[genes.symbols[i] for i in rows], ensembl=[genes.ensembl[i] for i in rows])
    session.counts, session.gene_ids = session.counts[:, kept], session.gene_ids[kept]
    session.columns = session.columns[kept]


main = transformer_program(MODEL, {"embed-cells": embed_cells})
