"""From a dataset's counts to a tokenizer, for each verb's recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from sceval.data.hvg import highly_variable_genes
from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.preprocess import preprocess
from sceval.models.scgpt.tokens import CLS_VALUE_FINETUNE, CLS_VALUE_ZERO_SHOT, CellTokenizer
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms


class NoKnownGenes(ValueError):
    """Nothing of the dataset is in the vocabulary."""


@dataclass
class Notes:
    """What a run found out about its input, and what it replaced, skipped or capped."""

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def known_genes(symbols: list[str], vocabulary: Vocabulary, notes: Notes) -> np.ndarray:
    """Vocabulary id of each gene, -1 where unknown; the share of known genes becomes a fact.

    Raises
    ------
    NoKnownGenes
        With a hint where the symbols look like Ensembl ids or like another species.
    """
    ids = vocabulary.lookup(symbols)
    share = float((ids >= 0).mean()) if ids.size else 0.0
    notes.facts["genes_recognised"] = round(share, 6)
    if not (ids >= 0).any():
        first = next((s for s in symbols if s), "")
        hint = ""
        if first.startswith("ENS"):
            hint = "; these look like Ensembl ids, and the vocabulary holds gene symbols"
        elif first[1:2].islower():
            hint = "; these look like mouse symbols, and the vocabulary is human and case-sensitive"
        raise NoKnownGenes(f"none of the {len(symbols)} genes is in the vocabulary (first gene: {first!r}){hint}")
    if share < 0.5:
        notes.warnings.append(f"only {share:.1%} of the {len(symbols)} genes are in the vocabulary")
    used = ids[ids >= 0]
    repeated = used.size - np.unique(used).size
    if repeated:
        notes.warnings.append(f"{repeated} genes have the symbol of another gene; each keeps its own token")
    return ids


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
    symbols: list[str],
    cell_ids: list[str],
    vocabulary: Vocabulary,
    params: dict[str, Any],
    seed: int,
    notes: Notes,
) -> CellTokenizer:
    """Tokens of the zero-shot path: raw values of all known genes are binned, zeros dropped, long cells cut."""
    ids = known_genes(symbols, vocabulary, notes)
    kept = np.flatnonzero(ids >= 0)
    matrix = sp.csr_matrix(counts)[:, kept].astype(np.float32)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    keys = hash_ids(cell_ids)
    uniforms = _uniforms(matrix, ids[kept], keys, seed) if params["binning"] == "both" else None
    binned, _ = bin_rows(matrix, params["n_bins"], rule=params["binning"], uniforms=uniforms)
    tokens = _tokenizer(binned, ids[kept], vocabulary, keys, params, seed, keep_zeros=False)
    report_lengths(tokens, cell_ids, notes)
    return tokens


def finetune_tokens(
    counts: sp.csr_matrix,
    symbols: list[str],
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
    fit_rows
        Cells that decide which genes are kept (training cells); all by default.
    batch_codes
        Batch of each cell, for a choice of variable genes batch by batch.
    """
    ids = known_genes(symbols, vocabulary, notes)
    counts = sp.csr_matrix(counts)
    rows = np.arange(counts.shape[0]) if fit_rows is None else np.asarray(fit_rows)
    seen = counts[rows]
    totals = np.asarray(seen.sum(axis=0)).ravel()
    candidates = (ids >= 0) & (totals >= params["min_gene_counts"])
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
    report_lengths(tokens, cell_ids, notes)
    return tokens


def report_lengths(tokens: CellTokenizer, cell_ids: list[str], notes: Notes) -> None:
    """Tell how many cells are cut and how many have no known gene at all."""
    available = np.full(tokens.expressed.size, tokens.binned.shape[1]) if tokens.keep_zeros else tokens.expressed
    cut = int((available + 1 > tokens.max_length).sum())
    if cut:
        notes.warnings.append(
            f"{cut} of {available.size} cells have more than {tokens.max_length - 1} genes; a random subset was taken"
        )
    empty = np.flatnonzero(tokens.expressed == 0)
    notes.facts["cells_without_known_gene"] = int(empty.size)
    if empty.size:
        notes.warnings.append(
            f"{empty.size} cells express no gene that the model uses and get no result; first: {cell_ids[empty[0]]}"
        )
