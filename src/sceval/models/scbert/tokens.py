"""Cells to scBERT's input: every gene of the reference in its place, expression cut to 0 to 5, a trailing 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.models.performer.values import bins, first_columns, log2_normalize, reorder, variable_genes

if TYPE_CHECKING:
    import scipy.sparse as sp

    from sceval.data.genes import Genes
    from sceval.models.performer.genelist import GeneList

#: The official preprocessing drops cells with fewer expressed genes.
OFFICIAL_MIN_GENES = 200


class ScBertTokens:
    """Tokens of the cells of one dataset; see `transformer.protocol.Tokens`.

    Attributes
    ----------
    binned
        Cells x genes of the model (CSR, int8).
    expressed
        Expressed genes of each cell, of those that the model knows.
    columns
        Genes in the sequence, ascending; None = all.
    """

    def __init__(
        self, binned: sp.csr_matrix, columns: np.ndarray | None, recognised: float, min_genes: int, warnings: list[str]
    ) -> None:
        self.binned, self.columns, self.recognised, self.warnings = binned, columns, recognised, warnings
        self.expressed = np.diff(binned.indptr)
        n_genes = binned.shape[1]
        self.lengths = np.full(binned.shape[0], (n_genes if columns is None else columns.size) + 1, np.int64)
        self.usable = self.expressed >= max(min_genes, 1)
        self.notes: dict[str, Any] = {"genes_used": int(n_genes if columns is None else columns.size)}
        dropped = int((self.usable < (self.expressed > 0)).sum())
        if dropped:
            warnings.append(f"{dropped} cells express fewer than {min_genes} known genes and get no result (min_genes)")

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Tokens (n x t, int64) of the given cells, and where genes were chosen the position of each in the model."""
        rows = np.asarray(rows)
        values = self.binned[rows]
        tokens = np.zeros((rows.size, values.shape[1] + 1), np.int64)
        tokens[np.repeat(np.arange(rows.size), np.diff(values.indptr)), values.indices] = values.data
        if self.columns is None:
            return {"tokens": tokens}
        positions = np.append(self.columns, values.shape[1])
        return {"tokens": tokens[:, positions], "positions": np.tile(positions, (rows.size, 1))}


def tokenize(
    counts: sp.csr_matrix,
    genes: Genes,
    cell_ids: list[str],
    vocabulary: GeneList,
    settings: dict[str, Any],
    seed: int,
    fit_rows: np.ndarray | None = None,
) -> ScBertTokens:
    """Tokenize raw counts (cells x genes).

    Genes are put in the model's order (absent ones are 0), cells scaled to 10,000 over these genes, log2(1 + x) cut to
    integers of at most 5.

    Parameters
    ----------
    counts, genes, cell_ids, vocabulary
        Dataset, and the gene order of the model.
    settings
        ``n_hvg``: only so many variable genes stand in the sequence, at their own positions (0 = all; never where a
        dataset comes in blocks); ``min_genes``; ``duplicates``: ``sum`` or ``first`` of the columns of one gene.
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
    return ScBertTokens(bins(log2_normalize(matrix)), columns, share, settings.get("min_genes", 0), warnings)
