"""Cells to sentences: genes drawn by their expression, laid out along shuffled chromosomes.

Sentence: cls, then for each chromosome its token, its genes by start (repeats stay), the right token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.data.genes import Genes
from sceval.models.transformer.problems import NoKnownGenes
from sceval.models.uce.draws import HashDraws, LegacyDraws
from sceval.models.uce.genome import CLS, PAD, RIGHT, Vocabulary

if TYPE_CHECKING:
    from scipy import sparse


def frequent(counts: sparse.csr_matrix, min_cells: int) -> np.ndarray:
    """Return which genes (g,) are expressed in at least `min_cells` cells."""
    return np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1]) >= min_cells


def expressing(counts: sparse.csr_matrix, columns: np.ndarray | None = None) -> np.ndarray:
    """Return the number of genes that each cell expresses (n,), of all or of the columns of a mask (g,)."""
    expressed = counts.data > 0
    if columns is not None:
        expressed &= columns[counts.indices]
    ends = np.concatenate([[0], np.cumsum(expressed)])
    return np.diff(ends[counts.indptr])


def sampling_weights(values: np.ndarray) -> np.ndarray:
    """Return the probability with which each of a cell's counts is drawn: log1p, scaled to sum 1 (float64)."""
    weights = np.log1p(values.astype(np.float64))
    return weights / weights.sum()


class Sentences:
    """Sentences of the cells of one dataset (the shape that the shared verbs expect).

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    tokens, chromosomes, starts
        Of each column (g,); a token below 0 means that the column is not used.
    usable
        Cells that may get a sentence (n,); those without a used gene get none either.
    draws
        Who draws.
    chromosome_offset
        Row of the token table at which the chromosome tokens begin.
    sample_size
        Genes drawn for each cell.
    upstream_batch
        0: padding is masked. Else the number of cells that the official code would put into a mini-batch, in the order
        of the file: a cell then also sees the padding up to the longest sentence of its own.

    Attributes
    ----------
    lengths
        Positions of each cell (n,), the padding that it sees included.
    usable, recognised, notes, warnings
        As the shared verbs expect them.
    """

    def __init__(
        self,
        counts: sparse.csr_matrix,
        tokens: np.ndarray,
        chromosomes: np.ndarray,
        starts: np.ndarray,
        usable: np.ndarray,
        draws: HashDraws | LegacyDraws,
        *,
        chromosome_offset: int,
        sample_size: int,
        upstream_batch: int = 0,
    ) -> None:
        self._counts, self._tokens, self._chromosomes, self._starts = counts, tokens, chromosomes, starts
        self._draws, self._offset, self._size = draws, chromosome_offset, sample_size
        self.usable = np.asarray(usable, bool) & (expressing(counts, tokens >= 0) > 0)
        self._stored: dict[int, np.ndarray] = {}
        self._own = np.zeros(counts.shape[0], np.int64)
        for row in np.flatnonzero(self.usable):
            chosen = self._choose(int(row))
            if draws.in_order:
                self._stored[int(row)] = self._write(int(row), chosen)
            self._own[row] = 1 + sample_size + 2 * np.unique(chromosomes[chosen]).size
        self.lengths = self._own.copy()
        self._upstream = upstream_batch > 0
        if self._upstream:
            rows = np.flatnonzero(self.usable)
            for part in (rows[i : i + upstream_batch] for i in range(0, rows.size, upstream_batch)):
                self.lengths[part] = self._own[part].max()
        self.recognised = 0.0
        self.notes: dict[str, Any] = {}
        self.warnings: list[str] = []

    def _choose(self, row: int) -> np.ndarray:
        """Draw the columns of a cell, with replacement."""
        part = slice(self._counts.indptr[row], self._counts.indptr[row + 1])
        columns, values = self._counts.indices[part], self._counts.data[part]
        used = (self._tokens[columns] >= 0) & (values > 0)
        columns, values = columns[used], values[used]
        # In the order of the file as upstream draws them, else of the tokens: columns may then stand in any order.
        order = np.argsort(columns if self._draws.in_order else self._tokens[columns], kind="stable")
        return columns[order][self._draws.choose(row, sampling_weights(values[order]), self._size)]

    def _write(self, row: int, chosen: np.ndarray) -> np.ndarray:
        """Lay drawn columns out along the chromosomes."""
        codes, tokens = self._chromosomes[chosen], self._tokens[chosen]
        order = np.lexsort((tokens, self._starts[chosen], codes))
        codes, tokens = codes[order], tokens[order]
        unique, first = np.unique(codes, return_index=True)
        spans = dict(zip(unique.tolist(), np.split(tokens, first[1:]), strict=True))
        sentence = [np.array([CLS])]
        for code in self._draws.shuffle(row, unique):
            sentence += [[self._offset + code], spans[int(code)], [RIGHT]]
        return np.concatenate(sentence).astype(np.int64)

    def sentence(self, row: int) -> np.ndarray:
        """Return the tokens of a usable cell."""
        if row in self._stored:
            return self._stored[row]
        return self._write(row, self._choose(row))

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return `input_ids` (cells x longest), `lengths` (cells,), and `padded` where padding is seen (cells,)."""
        rows = np.asarray(rows)
        ids = np.full((rows.size, int(self.lengths[rows].max(initial=1))), PAD, np.int64)
        for i, row in enumerate(rows):
            own = self.sentence(int(row))
            ids[i, : own.size] = own
        seen = {"padded": self.lengths[rows]} if self._upstream else {}
        return {"input_ids": ids, "lengths": self._own[rows], **seen}


def tokenize(
    counts: sparse.csr_matrix,
    genes: Genes,
    cell_ids: list[str],
    vocabulary: Vocabulary,
    settings: dict[str, Any],
    seed: int,
    fit_rows: np.ndarray | None = None,
) -> Sentences:
    """Draw and lay out the sentences of all cells.

    Parameters
    ----------
    counts
        Cells x genes (CSR), raw counts.
    genes
        The columns; their organism chooses the species.
    cell_ids
        With the seed they decide the draws.
    vocabulary
        Of the checkpoint folder.
    settings
        `sample_size` (1024); `padding` (`masked`, or `upstream` with `upstream_batch` cells in a mini-batch); `draws`
        (`per_cell`, or `upstream`: one generator through the file); `min_genes`: cells that express fewer genes get no
        vector (0; upstream 25).
    seed
        Of the draws.
    fit_rows
        Not used.

    Raises
    ------
    NoKnownGenes
        No gene of the dataset has a protein vector and a place in the genome.
    """
    tokens = vocabulary.lookup(genes)
    if not (tokens >= 0).any():
        raise NoKnownGenes(
            f"none of the {len(genes)} genes is among the {len(vocabulary.species(genes.organism))} that UCE knows of "
            f"{genes.organism} (first gene here: {next(iter(genes.symbols), '')!r})"
        )
    recognised = float((tokens >= 0).mean())
    chromosomes, starts = vocabulary.places(genes)
    enough = expressing(counts) >= int(settings.get("min_genes", 0))
    legacy = settings.get("draws", "per_cell") == "upstream"
    upstream = settings.get("padding", "masked") == "upstream"
    out = Sentences(
        counts,
        tokens,
        chromosomes,
        starts,
        enough,
        LegacyDraws(seed) if legacy else HashDraws(cell_ids, seed),
        chromosome_offset=vocabulary.chromosome_offset,
        sample_size=int(settings.get("sample_size", 1024)),
        upstream_batch=int(settings.get("upstream_batch", 100)) if upstream else 0,
    )
    out.recognised = recognised
    out.notes = {"genes_used": int((tokens >= 0).sum()), "sample_size": int(settings.get("sample_size", 1024))}
    unplaced = vocabulary.unplaced.get(genes.organism, set())
    if lost := [symbol for symbol in genes.symbols if symbol.upper() in unplaced]:
        out.warnings.append(
            f"{len(lost)} genes have a protein vector but no place in species_chrom.csv and are not used "
            f"(for example {lost[0]})"
        )
    if not enough.all():
        out.warnings.append(
            f"{int((~enough).sum())} cells express fewer than {settings['min_genes']} genes and get no vector"
        )
    return out


class Part:
    """Some cells of tokens that were made for all cells at once (upstream's draws and mini-batches know the file).

    Parameters
    ----------
    tokens
        Of all cells.
    rows
        Cells of this part.
    """

    def __init__(self, tokens: Sentences, rows: np.ndarray) -> None:
        self._tokens, self._rows = tokens, rows
        self.lengths, self.usable = tokens.lengths[rows], tokens.usable[rows]

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mini-batch of these cells, counted within the part."""
        return self._tokens.batch(self._rows[rows])
