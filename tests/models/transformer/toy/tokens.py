"""Cells to (gene, value) pairs."""

from __future__ import annotations

import numpy as np

from sceval.training.seed import derive_seed, hash_ids, hashed_bits


class Vocabulary:
    def __init__(self, symbols):
        self.symbols = list(symbols)
        self.ids = {name: i for i, name in enumerate(self.symbols)}

    def lookup(self, genes):
        return np.array([self.ids.get(name, -1) for name in genes.symbols], np.int64)


class Tokens:
    def __init__(self, counts, ids, cell_ids, max_length, seed):
        self._counts = counts.tocsr()[:, ids >= 0]
        self._counts.sort_indices()
        self._ids, self._max = ids[ids >= 0], max_length
        self._keys, self._seed = hash_ids(cell_ids), derive_seed(seed, "subset")
        self._total = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
        self.usable = np.diff(self._counts.indptr) > 0
        self.lengths = np.minimum(np.diff(self._counts.indptr), max_length)
        self.recognised = float((ids >= 0).mean())
        self.notes = {"genes_used": int((ids >= 0).sum())}
        cut = int((np.diff(self._counts.indptr) > max_length).sum())
        self.warnings = [f"{cut} cells were cut to {max_length} genes"] if cut else []

    def batch(self, rows):
        width = int(self.lengths[rows].max())
        genes = np.full((len(rows), width), -1, np.int64)
        values = np.zeros((len(rows), width), np.float32)
        for i, row in enumerate(rows):
            part = slice(self._counts.indptr[row], self._counts.indptr[row + 1])
            ids, own = self._ids[self._counts.indices[part]], self._counts.data[part]
            if ids.size > self._max:
                kept = np.argsort(hashed_bits(self._keys[row], ids, self._seed), kind="stable")[: self._max]
                ids, own = ids[kept], own[kept]
            genes[i, : ids.size] = ids
            values[i, : ids.size] = np.log1p(own / self._total[row] * 100)
        return {"genes": genes, "values": values}


def tokenize(counts, genes, cell_ids, vocabulary, settings, seed, fit_rows=None):
    return Tokens(counts, vocabulary.lookup(genes), cell_ids, settings["max_length"], seed)
