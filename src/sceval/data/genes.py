"""The genes of a view as every model's tokenizer gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

    from sceval.contract import CellFile


@dataclass(frozen=True)
class Genes:
    """One entry for each column of a matrix.

    Attributes
    ----------
    symbols
        Gene symbols as the file has them; an empty text where there is none.
    ensembl
        Ensembl ids, None where there is none.
    organism
        `human` or `mouse`.
    """

    symbols: list[str]
    ensembl: list[str | None]
    organism: str = "human"

    def __post_init__(self) -> None:
        if len(self.symbols) != len(self.ensembl):
            msg = f"{len(self.symbols)} symbols and {len(self.ensembl)} Ensembl ids: expected one of each for a column"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.symbols)

    @classmethod
    def of(cls, view: CellFile) -> Genes:
        """Return the genes of a view: `var['gene_symbol']` (else the index), `var['ensembl_id']`, the organism."""
        symbols = view.var.get("gene_symbol", view.var_names)
        ensembl = view.var.get("ensembl_id", np.full(len(symbols), "", object))
        organism = (view.uns.get("sceval") or {}).get("organism") or "human"
        return cls([_text(name) for name in symbols], [_text(name) or None for name in ensembl], str(organism))

    @classmethod
    def from_symbols(cls, symbols: Sequence[str], organism: str = "human") -> Genes:
        """Return genes that have symbols alone."""
        return cls([str(name) for name in symbols], [None] * len(symbols), organism)


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value).strip()


def sum_columns(counts: sparse.csr_matrix, ids: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return the columns that a vocabulary knows, those of one token added up.

    Parameters
    ----------
    counts
        n x g CSR of raw counts.
    ids
        Token of each column (g,), below 0 where it is unknown or not used.

    Returns
    -------
    Counts n x k, sorted within each row, and the token of each of the k columns, each once, in the order in which
    they first appear. Nothing is copied where every column is known and none repeats.
    """
    from scipy import sparse

    ids = np.asarray(ids, np.int64)
    known = np.flatnonzero(ids >= 0)
    unique, first, inverse = np.unique(ids[known], return_index=True, return_inverse=True)
    if len(unique) == len(ids):
        return counts, ids
    order = np.argsort(first)  # tokens in the order of their first columns
    if len(unique) == len(known):
        out = counts[:, known]
    else:
        place = np.empty(len(unique), np.int64)
        place[order] = np.arange(len(unique))
        gather = sparse.csr_matrix(
            (np.ones(len(known), counts.dtype), (known, place[inverse])), (len(ids), len(unique))
        )
        out = (counts @ gather).tocsr()
    out.sort_indices()
    return out, unique[order]
