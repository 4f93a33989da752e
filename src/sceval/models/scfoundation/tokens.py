"""Cells to model input: the expressed listed genes in list order, then target depth T and source depth S.

A cell is aligned to the gene list, scaled to 10,000 and log-transformed; T and S are log10 of a total count.
Mini-batches are made when they are asked for, so nothing but the sparse counts is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from sceval.data.genes import Genes, sum_columns
from sceval.models.scfoundation.vocabulary import Vocabulary

SCALE = 1e4
#: Codes that stand in the place of a value.
MASK_VALUE, PAD_VALUE = 102.0, 103.0


@dataclass(frozen=True)
class Target:
    """How token T follows from a cell's total: ``t4`` = 4, ``a5`` = log10(total) + 5, ``f2`` = log10(2 x total)."""

    kind: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read the official spelling.

        Raises
        ------
        ValueError
            Not a letter t, a or f with a number, or a factor that is not positive.
        """
        try:
            kind, value = text[:1], float(text[1:])
        except ValueError:
            kind, value = "", math.nan
        if kind not in ("t", "a", "f") or not math.isfinite(value) or (kind == "f" and value <= 0):
            raise ValueError(
                f"target depth is {text!r}; expected t<log10 of the count>, a<added to the log10> or f<factor>, e.g. t4"
            )
        return cls(kind, value)

    def depth(self, total: np.ndarray) -> np.ndarray:
        """Token T (float64) for cells of these totals."""
        if self.kind == "t":
            return np.full(np.shape(total), self.value)
        return np.log10(total * self.value) if self.kind == "f" else np.log10(total) + self.value


@dataclass(frozen=True)
class Tokens:
    """Cells of one dataset.

    Attributes
    ----------
    matrix
        Cells x k (CSR, sorted by position in the list): counts, or values as given where ``kind`` says so.
    positions
        Position in the gene list of each of the k columns.
    totals
        Sum of each cell's listed genes in ``matrix`` (float64).
    target, source
        Tokens T and S of each cell (float64).
    factor
        What each cell is multiplied by before log1p; None: values are taken as they are.
    usable
        Whether a cell has a listed gene above 0.
    lengths
        Positions of each cell, T and S included.
    recognised
        Share of the view's genes that are in the list.
    notes, warnings
        Facts, and sentences about what was replaced or skipped.
    """

    matrix: sp.csr_matrix
    positions: np.ndarray
    totals: np.ndarray
    target: np.ndarray
    source: np.ndarray
    factor: np.ndarray | None
    vocabulary: Vocabulary
    recognised: float
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def usable(self) -> np.ndarray:
        """Whether a cell has a listed gene above 0."""
        return self.totals > 0

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each cell, T and S included."""
        return np.diff(self.matrix.indptr).astype(np.int64) + 2

    def values(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and values (float32) of a cell's expressed listed genes, in list order."""
        part = slice(self.matrix.indptr[row], self.matrix.indptr[row + 1])
        data = self.matrix.data[part].astype(np.float64)
        if self.factor is not None:
            data = np.log1p(data * self.factor[row])
        return self.positions[self.matrix.indices[part]], data.astype(np.float32)

    def batch(self, rows: np.ndarray, *, depth_tokens: bool = True) -> dict[str, np.ndarray]:
        """Padded arrays of these cells.

        Parameters
        ----------
        rows
            Row numbers.
        depth_tokens
            Whether T and S follow the genes (the official fine-tuning example leaves them out).

        Returns
        -------
        ``gene_ids`` (int64), ``values`` (float32), each cells x positions, ``lengths`` (int64), the number of real
        positions of each cell, and where any is padded ``pad_mask`` (True at padding).
        """
        rows = np.asarray(rows)
        lengths = self.lengths[rows] - (0 if depth_tokens else 2)
        width = int(lengths.max(initial=1))
        ids = np.full((rows.size, width), self.vocabulary.pad_id, dtype=np.int64)
        values = np.full((rows.size, width), PAD_VALUE, dtype=np.float32)
        for i, row in enumerate(rows):
            own, amounts = self.values(int(row))
            ids[i, : own.size], values[i, : own.size] = own, amounts
            if depth_tokens:
                ids[i, own.size : own.size + 2] = self.vocabulary.target_id, self.vocabulary.source_id
                values[i, own.size : own.size + 2] = self.target[row], self.source[row]
        out = {"gene_ids": ids, "values": values, "lengths": lengths}
        padded = np.arange(width)[None, :] >= lengths[:, None]
        return {**out, "pad_mask": padded} if padded.any() else out


def tokenize(
    counts: sp.csr_matrix,
    genes: Genes,
    cell_ids: Sequence[str],
    vocabulary: Vocabulary,
    settings: dict[str, Any],
    seed: int = 0,
    fit_rows: np.ndarray | None = None,
) -> Tokens:
    """Make tokens of cells.

    Parameters
    ----------
    counts
        Cells x genes (CSR): raw counts, or log-normalized values where ``pre_normalized`` is set.
    genes, cell_ids
        Genes of the columns, ids of the rows.
    vocabulary
        The fixed gene list.
    settings
        ``input`` (``single_cell``, or ``bulk``: scaled to the median total of all samples, S = T), ``pre_normalized``
        and ``target_depth``.
    seed, fit_rows
        Not used: nothing is drawn or fitted.

    Raises
    ------
    ValueError
        An unknown input type or target depth.
    """
    kind, given = settings.get("input", "single_cell"), bool(settings.get("pre_normalized", False))
    if kind not in ("single_cell", "bulk"):
        raise ValueError(f"input is {kind!r}; expected single_cell or bulk")
    counts = sp.csr_matrix(counts)
    ids = vocabulary.lookup(genes)
    recognised = float((ids >= 0).mean()) if ids.size else 0.0
    matrix, positions = _aligned(counts, ids)
    totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    safe = np.where(totals > 0, totals, 1.0)
    factor = None if given else SCALE / safe
    if kind == "single_cell":
        source, target = np.log10(safe), Target.parse(settings.get("target_depth", "t4")).depth(safe)
    else:
        if not given and (totals > 0).any():
            factor = np.median(totals[totals > 0]) / safe
        source = target = _bulk_depth(matrix, factor)
    notes = {"genes_used": int(positions.size)}
    return Tokens(matrix, positions, totals, target, source, factor, vocabulary, recognised, notes)


def _aligned(counts: sp.csr_matrix, ids: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """Columns of listed genes in list order, without stored zeros; the input is left as it is."""
    matrix, positions = sum_columns(counts, ids)
    order = np.argsort(positions, kind="stable")
    matrix = sp.csr_matrix(matrix[:, order])
    if matrix is counts or (matrix.data.size and np.shares_memory(matrix.data, counts.data)):
        matrix = matrix.copy()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix, np.asarray(positions)[order]


def _bulk_depth(matrix: sp.csr_matrix, factor: np.ndarray | None) -> np.ndarray:
    """Token S (= T) of bulk samples: log10 of the sum of the transformed values, or the plain sum of given ones."""
    if factor is None:
        return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    logs = matrix.astype(np.float64)
    logs.data = np.log1p(logs.data * np.repeat(factor, np.diff(matrix.indptr)))
    sums = np.asarray(logs.sum(axis=1)).ravel()
    return np.log10(np.where(sums > 0, sums, 1.0))
