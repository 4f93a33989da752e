"""Cells to CellLM's input: cls, then the expressed genes in list order with expression cut to 0 to 5, then pads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.models.performer.values import bins, first_columns, log2_normalize, reorder, variable_genes

if TYPE_CHECKING:
    import scipy.sparse as sp

    from sceval.data.genes import Genes
    from sceval.models.performer.genelist import GeneList

CLS, PAD = 6, 7


class CellLMTokens:
    """Tokens of the cells of one dataset; see `transformer.protocol.Tokens`.

    Attributes
    ----------
    binned
        Cells x genes of the model (CSR, int8), of the genes that may be shown.
    max_length
        Positions of the full sequence.
    expressed, used
        Expressed genes of each cell, and positions that are no pads, cls included and over-long cells cut.
    """

    def __init__(self, binned: sp.csr_matrix, max_length: int, recognised: float, notes: dict[str, Any]) -> None:
        if max_length < 2:
            raise ValueError(f"max_length must be at least 2 (cls and one gene), got {max_length}")
        self.binned, self.max_length, self.recognised, self.notes = binned, max_length, recognised, notes
        self.warnings: list[str] = []
        self.expressed = np.diff(binned.indptr).astype(np.int64)
        self.used = np.minimum(self.expressed + 1, max_length)
        self.lengths = np.minimum(self.used + 1, max_length)
        self.usable = self.expressed > 0
        cut = int((self.expressed >= max_length).sum())
        if cut:
            self.warnings.append(
                f"{cut} of {self.expressed.size} cells express more than {max_length - 1} known genes; the first of "
                "them in the model's order were taken, as the official code does"
            )

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Tokens and genes (n x t, int64) of the given cells, one pad more than the longest needs."""
        rows = np.asarray(rows)
        width, n_genes = int(self.lengths[rows].max()), self.binned.shape[1]
        tokens = np.full((rows.size, width), PAD, np.int64)
        genes = np.full((rows.size, width), n_genes + 1, np.int64)
        tokens[:, 0], genes[:, 0] = CLS, n_genes
        for i, row in enumerate(rows):
            start, stop = self.binned.indptr[row], self.binned.indptr[row] + self.used[row] - 1
            tokens[i, 1 : self.used[row]] = self.binned.data[start:stop]
            genes[i, 1 : self.used[row]] = self.binned.indices[start:stop]
        return {"tokens": tokens, "genes": genes}


def tokenize(
    counts: sp.csr_matrix,
    genes: Genes,
    cell_ids: list[str],
    vocabulary: GeneList,
    settings: dict[str, Any],
    seed: int,
    fit_rows: np.ndarray | None = None,
) -> CellLMTokens:
    """Tokenize raw counts (cells x genes).

    Genes are put in the model's order, cells scaled to 10,000 over these genes, log2(1 + x) cut to integers of at most
    5. What was done to the counts before official pre-training is not published: this is scBERT's preprocessing.

    Parameters
    ----------
    counts, genes, cell_ids, vocabulary
        Dataset, and the gene order of the model with the length of its sequence.
    settings
        ``n_hvg``: only so many variable genes are shown (0 = all; never where a dataset comes in blocks);
        ``duplicates``: ``sum`` or ``first`` of the columns of one gene.
    seed
        Not used: nothing is drawn.
    fit_rows
        Cells that may choose variable genes.
    """
    ids = vocabulary.lookup(genes)
    share = float((ids >= 0).mean()) if ids.size else 0.0
    if settings.get("duplicates", "sum") == "first":
        ids = first_columns(ids)
    matrix = reorder(counts, ids, len(vocabulary))
    warnings: list[str] = []
    wanted = 0 if settings.get("verb") == "embed-cells" else settings.get("n_hvg", 0)
    columns = variable_genes(matrix, wanted, fit_rows, warnings)
    binned = bins(log2_normalize(matrix))
    notes: dict[str, Any] = {"genes_used": int((ids >= 0).sum())}
    if columns is not None:
        shown = np.zeros(binned.shape[1], bool)
        shown[columns] = True
        binned.data = np.where(shown[binned.indices], binned.data, -1)
        binned = _without_negative(binned)
        notes["genes_used"] = int(columns.size)
    tokens = CellLMTokens(binned, vocabulary.max_length, share, notes)
    tokens.warnings.extend(warnings)
    return tokens


def _without_negative(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Drop entries below 0; explicit zeros, which are expressed genes with a value below 1, stay."""
    import scipy.sparse as sp

    keep = matrix.data >= 0
    starts = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
    return sp.csr_matrix((matrix.data[keep], matrix.indices[keep], starts), shape=matrix.shape)
