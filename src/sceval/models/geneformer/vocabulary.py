"""From the genes of a dataset to the tokens of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sceval.data.gene_tables import human_genes
from sceval.models.geneformer.counts import SCALE, cell_totals, collapse
from sceval.models.geneformer.dictionaries import CLS, EOS, MASK, PAD, SPECIALS, Dictionaries

if TYPE_CHECKING:
    from scipy import sparse

    from sceval.data.genes import Genes

_VERSION = re.compile(r"(ENS[A-Z]*\d{6,})\.\d+")


def plain_id(text: str) -> str:
    """Return an id in upper case, an Ensembl id without its version."""
    text = text.strip().upper()
    match = _VERSION.fullmatch(text)
    return match[1] if match else text


class Vocabulary:
    """Genes, medians and special tokens of a model.

    Parameters
    ----------
    content
        The dictionaries.
    max_tokens
        Most tokens of a cell, specials included: the positions of the model.
    fitted
        False where the medians are still to be learned from a dataset (a model from scratch).
    """

    def __init__(self, content: Dictionaries, max_tokens: int, *, fitted: bool = True) -> None:
        self.content = content
        self.max_tokens = max_tokens
        self.fitted = fitted

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token id of each gene, specials left out."""
        return {gene: token for gene, token in self.content.tokens.items() if gene not in SPECIALS}

    @property
    def pad_id(self) -> int:
        """Id of padding."""
        return self.content.tokens[PAD]

    @property
    def mask_id(self) -> int:
        """Id of the mask."""
        return self.content.tokens[MASK]

    @property
    def cls_id(self) -> int | None:
        """Id of the cls token; None in V1."""
        return self.content.tokens.get(CLS)

    @property
    def eos_id(self) -> int | None:
        """Id of the eos token; None in V1."""
        return self.content.tokens.get(EOS)

    def __len__(self) -> int:
        return len(self.content.tokens)

    @cached_property
    def gene_tokens(self) -> np.ndarray:
        """Sorted token ids of all genes."""
        return np.array(sorted(self.ids.values()), np.int64)

    @cached_property
    def medians(self) -> np.ndarray:
        """Median of each token, float64 (n_tokens); NaN for specials."""
        out = np.full(len(self), np.nan)
        for gene, token in self.ids.items():
            out[token] = self.content.medians[gene]
        return out

    def token_of(self, name: str, *, symbol: bool = False) -> int:
        """Return the token of an id, or of a symbol; -1 where it is unknown.

        The official way: upper case, then the mapping, then the token dictionary; an id that the mapping does not have
        is unknown. Symbols that the mapping lacks, and ids where there is no mapping, are looked up directly.
        """
        key = plain_id(name)
        mapping = self.content.mapping
        gene = key if mapping is None else mapping.get(key)
        if symbol and self.ids.get(gene or "", -1) < 0:
            gene = self._named.get(key)
        return self.ids.get(gene or "", -1)

    @cached_property
    def _named(self) -> Mapping[str, str]:
        return {name.upper(): gene for name, gene in self.content.names.items()}

    def lookup(self, genes: Genes) -> np.ndarray:
        """Return the token of each gene (int64), -1 where it is unknown.

        A gene with an Ensembl id is looked up by that alone, as upstream does; one without by its symbol. A vocabulary
        of ours, which has no mapping of former ids, tries the symbol too where the id is unknown.
        """
        ours = self.content.mapping is None
        found = []
        for own, symbol in zip(genes.ensembl, genes.symbols, strict=True):
            token = self.token_of(own) if own else -1
            if token < 0 and symbol and (ours or not own):
                token = self.token_of(symbol, symbol=True)
            found.append(token)
        return np.array(found, dtype=np.int64)

    def known(self) -> list[str]:
        """Return every id and symbol that leads to a token: current ids first, then what the mapping has besides."""
        mapping = self.content.mapping or {}
        return [*self.ids, *(name for name, gene in mapping.items() if gene in self.ids and name not in self.ids)]

    def fit(self, counts: sparse.csr_matrix, ids: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Learn the medians of a dataset: for each gene the median of its counts above 0, each cell scaled to 10,000.

        Parameters
        ----------
        counts
            Cells x genes (CSR), raw counts.
        ids
            Token of each column, -1 where it is unknown.
        rows
            Cells to learn from; all by default. A gene that none of them expresses gets the median of the medians.
        """
        part = counts if rows is None else counts[np.asarray(rows)]
        values = collapse(part, ids, len(self))
        totals = cell_totals(part)
        values.data *= np.repeat(SCALE / np.maximum(totals, 1e-12), np.diff(values.indptr))
        columns = values.tocsc()
        sizes = np.diff(columns.indptr)
        found = {
            token: float(np.median(columns.data[columns.indptr[token] : columns.indptr[token + 1]]))
            for token in np.flatnonzero(sizes)
        }
        rest = float(np.median(list(found.values()))) if found else 1.0
        medians = {gene: found.get(token, rest) for gene, token in self.ids.items()}
        self.content = replace(self.content, medians=medians)
        self.__dict__.pop("medians", None)
        self.fitted = True

    @classmethod
    def from_genes(cls, genes: Genes, max_tokens: int) -> Vocabulary:
        """Make a V2-style vocabulary of a dataset's genes; its medians are not fitted.

        Genes are kept under their Ensembl ids; one without gets that of its approved or previous human symbol (HGNC)
        unless another column has it, else it is kept under the symbol.
        """
        keys = _keys(genes)
        unique = sorted({key for key in keys if key and key not in SPECIALS})
        tokens = {token: number for number, token in enumerate((*SPECIALS, *unique))}
        names = {symbol: key for symbol, key in zip(genes.symbols, keys, strict=True) if symbol and key}
        return cls(Dictionaries(tokens, dict.fromkeys(unique, 1.0), None, names), max_tokens, fitted=False)


def _keys(genes: Genes) -> list[str]:
    keys = [plain_id(own or symbol) for own, symbol in zip(genes.ensembl, genes.symbols, strict=True)]
    if genes.organism != "human" or all(genes.ensembl):
        return keys
    human = human_genes()
    ids = {gene: ensembl for ensembl, gene in human.ensembl.items()}
    for level in ("approved", "previous"):
        taken = set(keys)
        for i, (own, symbol) in enumerate(zip(genes.ensembl, genes.symbols, strict=True)):
            gene, found = human.gene_of(symbol)
            if not own and found == level and gene in ids and ids[gene] not in taken:
                keys[i] = ids[gene]
    return keys
