"""What the official extractor and its kin read from a network: mean gene vectors, and attention between genes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


@torch.no_grad()
def mean_attention(
    network: Network,
    batches: Iterable[Batch],
    place_of: np.ndarray,
    on_batch: Callable[[], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Attention between genes, averaged over layers, heads and the cells in which both stand.

    Parameters
    ----------
    network
        In evaluation mode.
    batches
        Cells, on the network's device.
    place_of
        Place of each token among the genes asked for, -1 for the others (n_tokens).
    on_batch
        Called after each batch.

    Returns
    -------
    attention, cells
        g x g float64: how much the row's gene (query) looks at the column's (key), NaN where no cell has both; and in
        how many cells both stand.
    """
    size = int(place_of.max(initial=-1)) + 1
    total, cells = np.zeros((size, size)), np.zeros((size, size), np.int64)
    for batch in batches:
        ids = network.gene_ids(batch).cpu().numpy()
        mean = sum(layer.float().mean(1) for layer in network.attention(batch)) / len(network.layers)
        weights = mean.cpu().numpy()
        for own, matrix in zip(ids, weights, strict=True):
            at = np.flatnonzero((own >= 0) & (place_of[own] >= 0))
            grid = np.ix_(place_of[own[at]], place_of[own[at]])
            total[grid] += matrix[np.ix_(at, at)]
            cells[grid] += 1
        if on_batch is not None:
            on_batch()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(cells > 0, total / cells, np.nan), cells
