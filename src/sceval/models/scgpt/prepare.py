"""From a dataset's counts to a tokenizer, for each verb's recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from sceval.data.genes import sum_columns
from sceval.data.hvg import highly_variable_genes
from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.preprocess import preprocess
from sceval.models.scgpt.tokens import CLS_VALUE_FINETUNE, CLS_VALUE_ZERO_SHOT, CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.models.transformer.problems import NoKnownGenes
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms


@dataclass
class Notes:
    """What a run found out about its input, and what it replaced, skipped or capped."""

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def _uniforms(matrix: sp.csr_matrix, gene_ids: np.ndarray, keys: np.ndarray, seed: int) -> np.ndarray:
    """A number in [0, 1) for each stored value that depends on cell, gene and seed only."""
    rows = np.repeat(keys, np.diff(matrix.indptr))
    return hashed_uniforms(rows, gene_ids[matrix.indices], derive_seed(seed, "bins"))


def _tokenizer(
    binned: sp.csr_matrix,
    gene_ids: np.ndarray,
    vocabulary: Vocabulary,
    keys: np.ndarray,
    params: dict[str, Any],
    seed: int,
    keep_zeros: bool,
) -> CellTokenizer:
    return CellTokenizer(
        binned,
        gene_ids,
        vocabulary,
        max_length=params["max_length"] or len(gene_ids) + 1,
        cls_value=CLS_VALUE_ZERO_SHOT if params["cls_value"] == "pad" else CLS_VALUE_FINETUNE,
        keep_zeros=keep_zeros,
        chooser=HashChooser(keys, seed, "subset"),
    )


def zero_shot_tokens(
    counts: sp.csr_matrix,
    ids: np.ndarray,
    cell_ids: list[str],
    vocabulary: Vocabulary,
    params: dict[str, Any],
    seed: int,
    notes: Notes,
) -> CellTokenizer:
    """Tokens of the zero-shot path: raw values of all known genes are binned, zeros dropped, long cells cut.

    `ids` are the vocabulary's of the columns, -1 where a gene is unknown; columns of one gene are added up.
    """
    matrix, ids = sum_columns(sp.csr_matrix(counts), ids)
    matrix = matrix.astype(np.float32)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    keys = hash_ids(cell_ids)
    uniforms = _uniforms(matrix, ids, keys, seed) if params["binning"] == "both" else None
    binned, _ = bin_rows(matrix, params["n_bins"], rule=params["binning"], uniforms=uniforms)
    tokens = _tokenizer(binned, ids, vocabulary, keys, params, seed, keep_zeros=False)
    report_lengths(tokens, notes)
    return tokens


def finetune_tokens(
    counts: sp.csr_matrix,
    ids: np.ndarray,
    cell_ids: list[str],
    vocabulary: Vocabulary,
    params: dict[str, Any],
    seed: int,
    notes: Notes,
    *,
    keep_zeros: bool,
    fit_rows: np.ndarray | None = None,
    batch_codes: np.ndarray | None = None,
) -> CellTokenizer:
    """Tokens of the fine-tuning path: genes filtered, variable ones chosen, cells normalized, log1p, binned.

    Parameters
    ----------
    ids
        Of the columns in the vocabulary, -1 where a gene is unknown; columns of one gene are added up.
    fit_rows
        Cells that decide which genes are kept (training cells); all by default.
    batch_codes
        Batch of each cell, for a choice of variable genes batch by batch.
    """
    counts, ids = sum_columns(sp.csr_matrix(counts), ids)
    rows = np.arange(counts.shape[0]) if fit_rows is None else np.asarray(fit_rows)
    seen = counts[rows]
    totals = np.asarray(seen.sum(axis=0)).ravel()
    candidates = totals >= params["min_gene_counts"]
    if not candidates.any():
        raise NoKnownGenes(f"no known gene has {params['min_gene_counts']:g} counts or more")
    columns = np.flatnonzero(candidates)
    if params["n_hvg"] and params["n_hvg"] < columns.size:
        codes = None if batch_codes is None else np.asarray(batch_codes)[rows]
        chosen = highly_variable_genes(seen[:, columns], params["n_hvg"], codes)
        if chosen.size:
            columns = columns[chosen]
        else:
            notes.warnings.append("no gene varies among the cells seen, so that all known genes were kept")
    elif params["n_hvg"] > columns.size:
        notes.warnings.append(f"{columns.size} known genes were kept; {params['n_hvg']} variable ones were asked for")
    keys = hash_ids(cell_ids)
    # Bins are over the chosen genes, as upstream's. Upstream scales before the choice; no bin depends on the scale.
    matrix = sp.csr_matrix(counts[:, columns])
    matrix.eliminate_zeros()
    matrix.sort_indices()
    uniforms = _uniforms(matrix, ids[columns], keys, seed) if params["binning"] == "both" else None
    done = preprocess(matrix, min_gene_counts=0, n_bins=params["n_bins"], rule=params["binning"], uniforms=uniforms)
    notes.facts["genes_used"] = int(columns.size)
    tokens = _tokenizer(done.binned, ids[columns], vocabulary, keys, params, seed, keep_zeros)
    report_lengths(tokens, notes)
    return tokens


def report_lengths(tokens: CellTokenizer, notes: Notes) -> None:
    """Tell how many cells are cut."""
    available = np.full(tokens.expressed.size, tokens.binned.shape[1]) if tokens.keep_zeros else tokens.expressed
    cut = int((available + 1 > tokens.max_length).sum())
    if cut:
        notes.warnings.append(
            f"{cut} of {available.size} cells have more than {tokens.max_length - 1} genes; a random subset was taken"
        )
