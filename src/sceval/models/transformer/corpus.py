"""Cells of several AnnData files over one list of genes, for pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError
from sceval.contract.checks import counts as whole_numbers
from sceval.data.dataset import read_dataset
from sceval.data.genes import Genes
from sceval.data.sheets import DATASETS
from sceval.training.seed import hash_ids


@dataclass
class Corpus:
    """What a model is pre-trained on.

    Attributes
    ----------
    counts
        Cells x genes (CSR), raw counts.
    genes
        Names of the columns.
    cell_ids
        Ids of the rows: `<file>:<cell>`.
    files
        For each file its name, cells, genes used, and the SHA-256 of its bytes.
    """

    counts: sparse.csr_matrix
    genes: Genes
    cell_ids: list[str]
    files: list[dict[str, Any]] = field(default_factory=list)


def _read(path: Path) -> CellFile:
    row = {column.name: column.default for column in DATASETS} | {"path": str(path), "row": 0}
    data = read_dataset(row, None if str(path).startswith("embedded:") else path, "command line")
    if finding := whole_numbers(data.X):
        msg = f"{path}: found {finding[0]}, expected {finding[1]}"
        raise ValueError(msg)
    return data


def _ensembl(parts: list[CellFile], names: list[str]) -> list[str]:
    known: dict[str, str] = {}
    for part in parts:
        for symbol, ensembl in zip(part.var["gene_symbol"], part.var["ensembl_id"], strict=True):
            if ensembl:
                known.setdefault(str(symbol), str(ensembl))
    return [known.get(name, "") for name in names]


def read_corpus(paths: Sequence[Path], genes: Sequence[str] | None = None, cells: int = 0) -> Corpus:
    """Read files and line their genes up by symbol.

    Parameters
    ----------
    paths
        AnnData files with raw counts, or `embedded:NAME`.
    genes
        Symbols to keep, in this order; the union of the files' genes, sorted, where None. A gene that a file lacks is 0
        there.

    cells
        Keep so many cells of all files together, those of the smallest hashes of their ids, so that a smaller corpus is
        part of a larger one; all where 0.

    Raises
    ------
    ValueError
        A file cannot be read, holds no counts, or none of its genes is among those kept.
    """
    try:
        parts = [_read(path) for path in paths]
    except ContractError as error:
        raise ValueError(str(error)) from error
    names = list(genes) if genes is not None else sorted({str(s) for part in parts for s in part.var["gene_symbol"]})
    place = {name: column for column, name in enumerate(names)}
    blocks, ids, told = [], [], []
    for path, part in zip(paths, parts, strict=True):
        columns = np.array([place.get(str(symbol), -1) for symbol in part.var["gene_symbol"]], int)
        if not (columns >= 0).any():
            msg = f"{path}: none of its {part.n_vars} genes is among the {len(names)} kept; its first is "
            raise ValueError(msg + repr(part.var["gene_symbol"][0]))
        kept = np.flatnonzero(columns >= 0)
        # Two columns of one symbol are added up.
        spread = sparse.csr_matrix((np.ones(len(kept), np.float32), (kept, columns[kept])), (part.n_vars, len(names)))
        blocks.append((part.X @ spread).tocsr())
        stem = Path(str(path)).stem.removeprefix("embedded:")
        ids += [f"{stem}:{name}" for name in part.obs_names]
        told.append(
            {"file": Path(str(path)).name, "cells": part.n_obs, "genes": int((np.bincount(columns[kept]) > 0).sum())}
        )
    corpus = sparse.vstack(blocks).tocsr()
    if 0 < cells < corpus.shape[0]:
        kept = np.sort(np.argsort(hash_ids(ids), kind="stable")[:cells])
        bounds = np.cumsum([0, *(part.n_obs for part in parts)])
        for one, start, stop in zip(told, bounds[:-1], bounds[1:], strict=True):
            one["cells"] = int(((kept >= start) & (kept < stop)).sum())
        corpus, ids = corpus[kept], [ids[row] for row in kept]
    corpus.eliminate_zeros()
    corpus.sort_indices()
    return Corpus(corpus, Genes(names, _ensembl(parts, names), "human"), ids, told)
