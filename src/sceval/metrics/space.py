"""One set of cells in one embedding: everything that several metrics share is computed once and kept."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse

from sceval.metrics.graph import connectivities, path_neighbors
from sceval.metrics.lisi import lisi, neighbor_probabilities
from sceval.metrics.neighbors import as_matrix, knn

#: Neighbours of the one search, the cell itself counted; LISI needs 90, kBET the first 50, the graph the first 15.
N_NEIGHBORS = 90
PERPLEXITY = 30


class Space:
    """Neighbours of a set of cells, and the same restricted to a subset of them.

    Parameters
    ----------
    X
        Embedding, cells x dimensions.
    """

    def __init__(self, X: np.ndarray) -> None:
        self.X = as_matrix(X)
        self.n = len(self.X)
        self.shared: dict = {}
        self._graphs: dict[int, sparse.csr_matrix] = {}

    @cached_property
    def neighbors(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices and distances of the one exact search, cells x 90 (or all cells)."""
        return knn(self.X, N_NEIGHBORS)

    @cached_property
    def _kernel(self) -> np.ndarray:
        return neighbor_probabilities(self.neighbors[1][:, 1:], PERPLEXITY)

    @cached_property
    def _paths(self) -> tuple[np.ndarray, np.ndarray]:
        indices, distances = path_neighbors(self.graph(15), min(N_NEIGHBORS, self.n - 1))
        return indices, neighbor_probabilities(distances, PERPLEXITY)

    def prepare_paths(self) -> None:
        """Search the nearest cells by path now; a thread may do this while the caller goes on."""
        _ = self._paths

    def graph(self, k: int) -> sparse.csr_matrix:
        """UMAP connectivities of the first ``k`` neighbours, the cell itself counted."""
        if k not in self._graphs:
            indices, distances = self.neighbors
            self._graphs[k] = connectivities(indices[:, :k], distances[:, :k])
        return self._graphs[k]

    def nearest(self, keep: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact ``k`` nearest neighbours among the kept cells.

        Parameters
        ----------
        keep
            Boolean, one per cell.
        k
            Neighbours, the cell itself counted.

        Returns
        -------
        indices, distances
            Kept cells x k, numbered inside the subset. Read off the full lists; cells whose list holds fewer than
            ``k`` kept cells are searched again.
        """
        rows = np.flatnonzero(keep)
        k = min(k, len(rows))
        lists, distances = self.neighbors
        if len(rows) == self.n:
            return lists[:, :k], distances[:, :k]
        lists, distances = lists[rows], distances[rows]
        kept = keep[lists]
        rank = np.cumsum(kept, axis=1)
        take = kept & (rank <= k)
        enough = rank[:, -1] >= k
        number = np.cumsum(keep) - 1
        indices, found = np.empty((len(rows), k), dtype=np.int64), np.empty((len(rows), k))
        indices[enough] = number[lists[enough][take[enough]]].reshape(-1, k)
        found[enough] = distances[enough][take[enough]].reshape(-1, k)
        short = np.flatnonzero(~enough)
        if len(short):
            indices[short], found[short] = knn(self.X[rows], k, short)
        return indices, found

    def lisi(self, keep: np.ndarray, codes: np.ndarray, n_codes: int) -> np.ndarray:
        """LISI of the kept cells on their Euclidean neighbours, the cell itself left out.

        The kernel of the full data is kept (same bandwidth) and restricted to the kept neighbours; a cell that keeps
        fewer of them than the perplexity is searched and weighted anew.
        """
        rows = np.flatnonzero(keep)
        lists = self.neighbors[0][rows, 1:]
        weights = self._kernel[rows] * keep[lists]
        values = lisi(weights, codes[lists], n_codes)
        short = np.flatnonzero(keep[lists].sum(axis=1) < min(PERPLEXITY, lists.shape[1]))
        if len(short) and len(rows) > 1:
            lists, distances = knn(self.X[rows], N_NEIGHBORS, short)
            fresh = neighbor_probabilities(distances[:, 1:], PERPLEXITY)
            values[short] = lisi(fresh, codes[rows][lists[:, 1:]], n_codes)
        return values

    @property
    def unreachable(self) -> int:
        """Cells from which fewer than 90 others can be reached in the 15-neighbour graph."""
        return int((self._paths[0][:, -1] < 0).sum())

    def lisi_graph(self, keep: np.ndarray, codes: np.ndarray, n_codes: int) -> np.ndarray:
        """LISI of the kept cells on their nearest cells by path; 1 where fewer than 90 can be reached, as in scib."""
        rows = np.flatnonzero(keep)
        lists = self._paths[0][rows]
        weights = self._paths[1][rows] * (keep[lists] & (lists >= 0))
        values = lisi(weights, codes[lists], n_codes)
        return np.where(lists[:, -1] < 0, 1.0, values)
