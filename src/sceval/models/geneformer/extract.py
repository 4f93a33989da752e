"""What is read from a network over many cells: mean vectors of genes, and attention between genes."""

from __future__ import annotations

import numpy as np
import torch

from sceval.models.geneformer.network import Batch, Network


class TokenMeans:
    """Mean contextual vector of each token over the cells in which it stands (the extractor's mode `gene`).

    Sums are float64, so that the order of the cells changes nothing that matters.
    """

    def __init__(self, n_tokens: int, width: int) -> None:
        self.sums = np.zeros((n_tokens, width))
        self.cells = np.zeros(n_tokens, np.int64)

    def add(self, x: np.ndarray, ids: np.ndarray) -> None:
        """Add hidden states (n, L, width) of tokens (n, L), -1 where a position does not count."""
        chosen = ids >= 0
        np.add.at(self.sums, ids[chosen], x[chosen])
        np.add.at(self.cells, ids[chosen], 1)

    def mean(self) -> np.ndarray:
        """Means, (n_tokens, width); NaN where a token stands in no cell."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.cells[:, None] > 0, self.sums / self.cells[:, None], np.nan)


class MeanAttention:
    """Attention between genes, averaged over layers, heads and the cells in which both stand.

    Parameters
    ----------
    network
        In evaluation mode.
    place_of
        Place of each token among the genes asked for, -1 for the others (n_tokens).
    """

    def __init__(self, network: Network, place_of: np.ndarray) -> None:
        self.network, self.place_of = network, place_of
        size = int(place_of.max(initial=-1)) + 1
        self.total, self.cells = np.zeros((size, size)), np.zeros((size, size), np.int64)

    @torch.no_grad()
    def add(self, rows: np.ndarray, batch: Batch) -> None:
        """Add the cells of a batch on the network's device; `rows` are not read."""
        ids = self.network.gene_ids(batch).cpu().numpy()
        mean = sum(layer.float().mean(1) for layer in self.network.attention(batch)) / len(self.network.layers)
        for own, matrix in zip(ids, mean.cpu().numpy(), strict=True):
            at = np.flatnonzero((own >= 0) & (self.place_of[own] >= 0))
            grid = np.ix_(self.place_of[own[at]], self.place_of[own[at]])
            self.total[grid] += matrix[np.ix_(at, at)]
            self.cells[grid] += 1

    def mean(self) -> np.ndarray:
        """Means (g x g, float64): how much the row's gene (query) looks at the column's (key); NaN without a cell."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.cells > 0, self.total / self.cells, np.nan)
