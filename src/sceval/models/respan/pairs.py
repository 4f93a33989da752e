"""Which cells of two batches belong together: mutual nearest neighbors and random walks between them.

Wang et al. 2022, Bioinformatics 38:3942; mutual nearest neighbors: Haghverdi et al. 2018, Nat Biotechnol 36:421. Random
draws are those of NumPy's legacy generator, one for each end of a pair and step, as in the official code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

WALK = 50
"""Pairs that a walk records, the first of them the mutual neighbors where it starts."""


def batch_order(X: np.ndarray, batch: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the batches from the most to the least varied, and how much each varies.

    Parameters
    ----------
    X
        n x g log-normalized expression.
    batch
        Batch of each cell, n.

    Returns
    -------
    Names, and the sums over genes of the standard deviation (n in the denominator), falling.
    """
    names = np.unique(np.asarray(batch).astype(str))
    score = np.array([X[batch == name].std(axis=0).sum() for name in names])
    order = np.argsort(-score, kind="stable")
    return [str(names[i]) for i in order], score[order]


def neighbor_counts(n_reference: int, n_query: int) -> tuple[int, int]:
    """Return the numbers of neighbors between (k1) and within (k2) batches; k2 is 1 % of the smaller, k1 half of it."""
    k2 = max(min(n_reference, n_query) // 100, 1)
    return max(k2 // 2, 1), k2


def unit_rows(X: np.ndarray) -> np.ndarray:
    """Scale each row to length 1; a row of zeros stays."""
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(length == 0, 1, length)


def _nearest(X: np.ndarray, Y: np.ndarray, k: int) -> sparse.csr_matrix:
    """Return True at the k rows of Y that are nearest to each row of X."""
    from scipy.spatial import cKDTree

    k = min(k, len(Y))
    found = cKDTree(Y).query(X, k)[1].reshape(len(X), k)
    return sparse.csr_matrix((np.ones(found.size, bool), found.ravel(), np.arange(len(X) + 1) * k), (len(X), len(Y)))


def mutual_neighbors(X: np.ndarray, Y: np.ndarray, k: int) -> np.ndarray:
    """Return the pairs (row of X, row of Y) that are each among the other's k nearest, p x 2, in row-major order.

    Distances are Euclidean between rows scaled to length 1; a cell is a neighbor of itself.
    """
    X, Y = unit_rows(X), unit_rows(Y)
    both = _nearest(X, Y, k).multiply(_nearest(Y, X, k).T).tocsr()
    both.sort_indices()
    row = np.repeat(np.arange(len(X)), np.diff(both.indptr))
    return np.column_stack([row, both.indices])


@dataclass(frozen=True)
class Partners:
    """Partners of each cell within its batch, one list after another; `start` says where each list begins."""

    cells: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, k: int) -> Partners:
        """Return the mutual neighbors within a batch; a cell without any (which has equals) is its own."""
        pairs = mutual_neighbors(X, X, k)
        alone = np.setdiff1d(np.arange(len(X)), pairs[:, 0])
        pairs = np.concatenate([pairs, np.column_stack([alone, alone])])
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        return cls(pairs[:, 1], np.searchsorted(pairs[:, 0], np.arange(len(X) + 1)))


def walk(
    cross: np.ndarray, reference: Partners, query: Partners, rng: np.random.RandomState, length: int = WALK
) -> np.ndarray:
    """Return the pairs that random walks from mutual neighbors visit, (p * length) x 2.

    Each step moves the reference end to one of its partners, then the query end to one of its own.

    Parameters
    ----------
    cross
        Mutual neighbors between batches, p x 2.
    reference, query
        Partners within each batch.
    rng
        One draw for each move; the moves after the last recorded pair are drawn too.
    length
        Pairs recorded for each start.
    """
    cells = (reference.cells.tolist(), query.cells.tolist())
    start = (reference.start.tolist(), query.start.tolist())
    out, draw = [], rng.randint
    for left, right in cross.tolist():
        for _ in range(length):
            out.append((left, right))
            left = cells[0][draw(start[0][left], start[0][left + 1])]
            right = cells[1][draw(start[1][right], start[1][right + 1])]
    return np.array(out, np.int64).reshape(-1, 2)


def filter_pairs(pairs: np.ndarray, reference: np.ndarray, query: np.ndarray, k: int = 100) -> np.ndarray:
    """Keep pairs whose reference cell is among the k nearest of the query cell.

    Parameters
    ----------
    pairs
        p x 2, rows of `reference` and `query`.
    reference, query
        Log-normalized expression of the genes with the largest loadings (see `reduction.loading_genes`).
    k
        Neighbors.
    """
    near = _nearest(unit_rows(query), unit_rows(reference), k)
    return pairs[np.asarray(near[pairs[:, 1], pairs[:, 0]]).ravel()]


def subsample(n_reference: int, n_query: int, limit: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of both batches that pairs are looked for among: all, or `limit` of each where one is larger."""
    if max(n_reference, n_query) <= limit:
        return np.arange(n_reference), np.arange(n_query)
    return rng.permutation(n_reference)[:limit], rng.permutation(n_query)[:limit]
