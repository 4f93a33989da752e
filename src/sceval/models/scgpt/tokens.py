"""Cells to model input: a set of (gene id, binned value) pairs with the cls token in front.

Nothing is expanded ahead of time: the binned matrix stays sparse and a mini-batch is made when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from sceval.data.genes import Genes
from sceval.models.scgpt.choice import Chooser
from sceval.models.scgpt.vocabulary import Vocabulary

PAD_VALUE = -2
MASK_VALUE = -1
#: The cls token carries the pad value in pre-training and zero-shot use, and 0 in fine-tuning.
CLS_VALUE_ZERO_SHOT = -2
CLS_VALUE_FINETUNE = 0


@dataclass(frozen=True)
class TokenBatch:
    """A padded mini-batch, cells x tokens; ``pad_mask`` is True at padding."""

    gene_ids: np.ndarray
    values: np.ndarray
    pad_mask: np.ndarray

    @property
    def has_padding(self) -> bool:
        """Whether any position is padding; without any, attention needs no mask and runs faster."""
        return bool(self.pad_mask.any())


class CellTokenizer:
    """Tokens of the cells of one dataset.

    Parameters
    ----------
    binned
        Cells x genes (CSR), binned values; every column is a gene of the vocabulary.
    gene_ids
        Vocabulary id of each column.
    vocabulary
        Supplies the ids of the padding and cls tokens.
    max_length
        Most tokens of a cell, the cls token included.
    cls_value
        Value that goes with the cls token.
    keep_zeros
        Whether genes with value 0 get a token.
    chooser
        Draws which genes of an over-long cell stay; the draw is the same at every visit of the cell.
    pad_value
        Value at padding.
    """

    def __init__(
        self,
        binned: sp.csr_matrix,
        gene_ids: np.ndarray,
        vocabulary: Vocabulary,
        *,
        max_length: int,
        cls_value: float,
        keep_zeros: bool,
        chooser: Chooser,
        pad_value: float = PAD_VALUE,
    ) -> None:
        if max_length < 2:
            raise ValueError(f"max_length must be at least 2 (cls and one gene), got {max_length}")
        if binned.shape[1] != len(gene_ids):
            raise ValueError(f"{binned.shape[1]} columns but {len(gene_ids)} gene ids")
        self.binned = sp.csr_matrix(binned)
        self.gene_ids = np.asarray(gene_ids, dtype=np.int64)
        self.vocabulary = vocabulary
        self.max_length = max_length
        self.cls_value = cls_value
        self.keep_zeros = keep_zeros
        self.pad_value = pad_value
        self._chooser = chooser
        self.expressed = np.diff(self.binned.indptr)
        genes = np.full(self.binned.shape[0], self.binned.shape[1]) if keep_zeros else self.expressed
        self.lengths = np.minimum(genes + 1, max_length)

    def _pairs(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Gene ids and values of one cell, before the cls token, cut to the longest allowed."""
        start, stop = self.binned.indptr[row], self.binned.indptr[row + 1]
        columns, values = self.binned.indices[start:stop], self.binned.data[start:stop]
        if self.keep_zeros:
            full = np.zeros(self.binned.shape[1], dtype=np.float32)
            full[columns] = values
            ids, values = self.gene_ids, full
        else:
            ids = self.gene_ids[columns]
        if ids.size + 1 > self.max_length:
            chosen = self._chooser.choose(row, ids, self.max_length - 1)
            ids, values = ids[chosen], values[chosen]
        return ids, values

    def batch(self, rows: np.ndarray) -> TokenBatch:
        """Tokens of the given cells, padded to the longest of them."""
        rows = np.asarray(rows)
        width = int(self.lengths[rows].max())
        ids = np.full((rows.size, width), self.vocabulary.pad_id, dtype=np.int64)
        values = np.full((rows.size, width), self.pad_value, dtype=np.float32)
        ids[:, 0], values[:, 0] = self.vocabulary.cls_id, self.cls_value
        for i, row in enumerate(rows):
            own_ids, own_values = self._pairs(int(row))
            ids[i, 1 : own_ids.size + 1], values[i, 1 : own_ids.size + 1] = own_ids, own_values
        return TokenBatch(ids, values, np.arange(width)[None, :] >= self.lengths[rows, None])


def mask_values(
    batch: TokenBatch, rows: np.ndarray, chooser: Chooser, ratio: float, mask_value: float = MASK_VALUE
) -> tuple[np.ndarray, np.ndarray]:
    """Hide a share of the values of each cell.

    ``int(ratio * n)`` of the n positions without padding are drawn, the cls position among them (as upstream does).

    Parameters
    ----------
    batch, rows
        Tokens and the row numbers of their cells.
    chooser
        Draws the positions; use one that depends on the epoch to hide other values in each.
    ratio
        Share to hide, 0 to 1.
    mask_value
        Value written at hidden positions.

    Returns
    -------
    masked_values, mask
        Values with hidden positions replaced, and True where hidden.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"mask ratio must lie in [0, 1], got {ratio}")
    mask = np.zeros(batch.values.shape, dtype=bool)
    for i, row in enumerate(np.asarray(rows)):
        valid = np.flatnonzero(~batch.pad_mask[i])
        count = int(valid.size * ratio)
        if count:
            mask[i, valid[chooser.choose(int(row), batch.gene_ids[i, valid], count)]] = True
    return np.where(mask, np.float32(mask_value), batch.values), mask


@dataclass
class CellTokens:
    """Tokens as the shared verbs see them; with `groups` each cell brings the branch of its per-batch normalization."""

    tokenizer: CellTokenizer
    recognised: float
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    groups: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each cell, cls included."""
        return self.tokenizer.lengths

    @property
    def usable(self) -> np.ndarray:
        """Whether the cell expresses a gene of the model."""
        return self.tokenizer.expressed > 0

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return `gene_ids`, `values`, and where something is padded `pad_mask`; `batch_labels` with groups."""
        own = self.tokenizer.batch(rows)
        out = {"gene_ids": own.gene_ids, "values": own.values}
        if own.has_padding:
            out["pad_mask"] = own.pad_mask
        if self.groups is not None:
            out["batch_labels"] = np.asarray(self.groups)[rows].astype(np.int64)
        return out


def tokenize(
    counts: sp.csr_matrix,
    genes: Genes,
    cell_ids: list[str],
    vocabulary: Vocabulary,
    settings: dict[str, Any],
    seed: int,
    fit_rows: np.ndarray | None = None,
) -> CellTokens:
    """Tokenize cells: all known genes where nothing is trained, else by the fine-tuning path.

    `fit_rows` are the training cells, which decide about variable genes.
    """
    from sceval.models.scgpt.prepare import Notes, finetune_tokens, zero_shot_tokens  # it makes the tokenizer

    ids, notes = vocabulary.lookup(genes), Notes()
    args = (counts, ids, cell_ids, vocabulary, settings, seed, notes)
    if settings["verb"].startswith("embed-") or settings["verb"] in ("infer-network", "pretrain"):
        tokenizer = zero_shot_tokens(*args)
    else:
        tokenizer = finetune_tokens(*args, keep_zeros=False, fit_rows=fit_rows)
    return CellTokens(tokenizer, float((ids >= 0).mean()), notes.facts, notes.warnings)
