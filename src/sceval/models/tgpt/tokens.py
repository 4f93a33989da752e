"""Cells to model input: begin token, genes from the most to the least expressed, end token.

Only the expressed genes of a cell are looked at, in the sparse matrix, when its mini-batch is asked for; the k most
expressed are chosen before anything is sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.data.genes import Genes, sum_columns
from sceval.models.tgpt.vocabulary import Vocabulary, is_excluded

if TYPE_CHECKING:
    from scipy import sparse

#: Rows looked at together when lengths are counted, so that memory does not grow with the number of cells.
_CHUNK = 4096


class Ranking:
    """Tokens of the cells of one dataset (the shape that the shared verbs expect).

    Parameters
    ----------
    counts
        Cells x columns (CSR), raw counts or any strictly increasing transform of them per cell.
    pieces
        Token ids of each column: none where the gene is not used, one as a rule, several where the official tokenizer
        splits a symbol.
    vocabulary
        Supplies the ids of padding, begin and end.
    max_length
        Most positions of a cell, begin and end included.

    Attributes
    ----------
    lengths
        Positions of each cell (n,), begin and end included.
    usable
        Whether the cell has at least one gene (n,).
    recognised
        Share of the view's genes that the vocabulary has.
    notes, warnings
        Facts, and sentences about what was left out.
    """

    def __init__(
        self, counts: sparse.csr_matrix, pieces: list[list[int]], vocabulary: Vocabulary, *, max_length: int
    ) -> None:
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3 (begin, one gene, end), got {max_length}")
        self._counts, self._vocabulary, self._room = counts, vocabulary, max_length - 2
        self._pieces = [np.asarray(ids, np.int64) for ids in pieces]
        self._sizes = np.array([len(ids) for ids in pieces], np.int64)
        #: First token of each column, -1 where it is not used; it also decides between equal counts.
        self._first = np.array([ids[0] if len(ids) else -1 for ids in pieces], np.int64)
        self.lengths = np.minimum(self._count_tokens(), self._room) + 2
        self.usable = self.lengths > 2
        self.recognised = 0.0
        self.notes: dict[str, Any] = {}
        self.warnings: list[str] = []

    def _count_tokens(self) -> np.ndarray:
        """Return the number of tokens that each cell would have without a limit."""
        indptr, total = self._counts.indptr, np.zeros(self._counts.shape[0], np.int64)
        for start in range(0, len(total), _CHUNK):
            stop = min(start + _CHUNK, len(total))
            part = slice(indptr[start], indptr[stop])
            sizes = np.where(self._counts.data[part] > 0, self._sizes[self._counts.indices[part]], 0)
            ends = np.concatenate([[0], np.cumsum(sizes)])
            total[start:stop] = np.diff(ends[indptr[start : stop + 1] - indptr[start]])
        return total

    def _ranked(self, row: int) -> np.ndarray:
        """Return the tokens of one cell between begin and end."""
        part = slice(self._counts.indptr[row], self._counts.indptr[row + 1])
        columns, values = self._counts.indices[part], self._counts.data[part].astype(np.float64)
        used = (self._first[columns] >= 0) & (values > 0)
        columns, values = columns[used], values[used]
        if values.size > self._room:
            # Everything that ties with the last place stays, so that the token id and not the order of memory decides.
            top = values >= np.partition(values, values.size - self._room)[values.size - self._room]
            columns, values = columns[top], values[top]
        first = self._first[columns]
        order = np.lexsort((columns, first, -values))[: self._room]
        chosen = columns[order]
        if (self._sizes[chosen] == 1).all():
            return first[order]
        return np.concatenate([self._pieces[column] for column in chosen])[: self._room]

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return `input_ids` (cells x longest of them) and `lengths` (cells,) of the given cells."""
        rows = np.asarray(rows)
        lengths = self.lengths[rows]
        ids = np.full((rows.size, int(lengths.max(initial=2))), self._vocabulary.pad_id, np.int64)
        ids[:, 0] = self._vocabulary.bos_id
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            ids[i, 1 : length - 1] = self._ranked(int(row))
            ids[i, length - 1] = self._vocabulary.eos_id
        return {"input_ids": ids, "lengths": lengths}


def tokenize(
    counts: sparse.csr_matrix,
    genes: Genes,
    cell_ids: list[str],
    vocabulary: Vocabulary,
    settings: dict[str, Any],
    seed: int,
    fit_rows: np.ndarray | None = None,
) -> Ranking:
    """Rank the genes of every cell.

    Nothing is drawn and nothing fitted: `cell_ids`, `seed` and `fit_rows` change nothing. Equal counts are ordered by
    token id. The counts of columns that are one token are added up.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    genes
        The columns.
    vocabulary
        Of the checkpoint or the dataset.
    settings
        `max_length`; `exclude` (leave out ribosomal and mitochondrial genes, MALAT1 and NEAT1); `unknown`: `drop` genes
        that the vocabulary lacks, or treat their symbols as the official tokenizer does (`upstream`: they take places
        as the unknown token).
    """
    ids = vocabulary.lookup(genes)
    known = ids >= 0
    names = {i: token for token, i in vocabulary.ids.items()}
    excluded = np.zeros(len(ids), bool)
    if settings.get("exclude", True):
        excluded = np.array(
            [
                is_excluded(symbol) or (i >= 0 and is_excluded(names[i]))
                for symbol, i in zip(genes.symbols, ids, strict=True)
            ]
        )
    if settings.get("unknown", "drop") == "upstream":
        pieces = [[] if out else vocabulary.pieces(s) for s, out in zip(genes.symbols, excluded, strict=True)]
    else:
        ids = np.where(excluded, -1, ids)
        used = ids[ids >= 0]
        if np.unique(used).size < used.size:
            counts, ids = sum_columns(counts, ids)
        pieces = [[int(i)] if i >= 0 else [] for i in ids]
    tokens = Ranking(counts, pieces, vocabulary, max_length=int(settings.get("max_length", 64)))
    tokens.recognised = float(known.mean()) if known.size else 0.0
    tokens.notes = {"genes_excluded": int((excluded & known).sum())}
    return tokens
