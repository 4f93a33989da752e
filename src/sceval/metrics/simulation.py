"""What generated cells are measured by: distributions of genes and cells, gene correlations, coverage, copies."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist

_BLOCK = 1024

#: Neighbors whose distance makes the ball of a real cell in the coverage.
COVERAGE_K = 5

#: A copy stands under this part (second number) of what one in a hundred held-out cells is under (first).
COPY_LEVEL, COPY_MARGIN = 0.01, 0.9


def wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """First Wasserstein distance of two samples on a line: the area between their distribution functions."""
    a, b = np.sort(a), np.sort(b)
    places = np.sort(np.concatenate([a, b]))
    of_a = np.searchsorted(a, places[:-1], side="right") / len(a)
    of_b = np.searchsorted(b, places[:-1], side="right") / len(b)
    return float(np.sum(np.abs(of_a - of_b) * np.diff(places)))


def moments(logs: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, variance (n - 1) and share of zeros of each column."""
    n = logs.shape[0]
    total = np.asarray(logs.sum(axis=0), float).ravel()
    squares = np.asarray(logs.multiply(logs).sum(axis=0), float).ravel()
    mean = total / n
    zeros = 1 - np.bincount(logs.indices, weights=logs.data != 0, minlength=logs.shape[1]) / n
    return mean, np.maximum(squares - n * mean**2, 0) / max(n - 1, 1), zeros


#: Distributions compared, in the order of ``distribution_distances``.
DISTRIBUTIONS = ("gene_mean", "gene_variance", "gene_zeros", "cell_zeros", "library")


def profiles(logs: sparse.csr_matrix, totals: np.ndarray, types: np.ndarray, kinds: list) -> list[tuple]:
    """Five samples for each type, three over genes and two over cells, in the order of ``DISTRIBUTIONS``.

    Parameters
    ----------
    logs, totals
        log1p CP10k (CSR without stored zeros) and total counts of the cells.
    types
        Type of each cell.
    kinds
        Types to describe; each needs a cell.
    """
    out = []
    for kind in kinds:
        here = logs[np.flatnonzero(types == kind)]
        cell_zeros = 1 - np.diff(here.indptr) / here.shape[1]
        out.append((*moments(here), cell_zeros, np.log1p(totals[types == kind])))
    return out


def distribution_distances(real: list[tuple], made: list[tuple], weights: list[int]) -> dict[str, float]:
    """Wasserstein distances inside each type, weighted mean over types; NaN without a type.

    Parameters
    ----------
    real, made
        ``profiles`` of the same types.
    weights
        Real cells of each type.

    Returns
    -------
    Over genes: mean and variance of log1p CP10k, share of zeros. Over cells: share of zeros, log1p of the total.
    The properties are those of SimBench (Cao et al. 2021), the distance is our choice.
    """
    if not real:
        return dict.fromkeys(DISTRIBUTIONS, float("nan"))
    rows = [[wasserstein(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(real, made, strict=True)]
    return dict(zip(DISTRIBUTIONS, np.average(rows, axis=0, weights=weights).tolist(), strict=True))


def correlations(X: np.ndarray) -> np.ndarray:
    """Pearson correlations of the columns, upper triangle as a vector; 0 for columns that do not vary."""
    centered = X - X.mean(axis=0)
    norm = np.sqrt((centered**2).sum(axis=0))
    unit = np.divide(centered, norm, out=np.zeros_like(centered), where=norm > 1e-12)
    return (unit.T @ unit)[np.triu_indices(X.shape[1], 1)]


def correlation_agreement(real: np.ndarray, made: np.ndarray) -> float:
    """Pearson correlation of the gene-gene correlations of two samples (cells x genes); 0 where one is constant.

    Source: the scEval study (Liu et al. 2023), simulation, second criterion.
    """
    a, b = correlations(real), correlations(made)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def nearest(a: np.ndarray, b: np.ndarray, k: int, same: bool = False) -> np.ndarray:
    """Distances from each row of ``a`` to its ``k`` nearest rows of ``b`` (itself left out where ``same``), in blocks.

    Fewer columns than ``k`` where ``b`` has fewer rows.
    """
    k = min(k, len(b) - same)
    out = np.empty((len(a), k))
    for low in range(0, len(a), _BLOCK):
        values = cdist(a[low : low + _BLOCK], b)
        if same:
            rows = np.arange(len(values))
            values[rows, low + rows] = np.inf
        out[low : low + _BLOCK] = np.sort(np.partition(values, k - 1, axis=1)[:, :k], axis=1)
    return out


def ball_radius(real: np.ndarray) -> np.ndarray:
    """Distance of each real cell to its fifth nearest other real cell."""
    return nearest(real, real, COVERAGE_K, same=True)[:, -1]


def covered(
    real: np.ndarray, made: np.ndarray, real_types: np.ndarray, made_types: np.ndarray, radius: np.ndarray
) -> np.ndarray:
    """Tell for each real cell (1.0 or 0.0) whether a generated cell of its type lies in its ball.

    Parameters
    ----------
    real, made
        Cells x dimensions.
    real_types, made_types
        Type of each cell.
    radius
        ``ball_radius`` of the real cells. Source: coverage of Naeem et al. 2020, here type by type.
    """
    out = np.zeros(len(real))
    for kind in np.unique(real_types):
        rows, others = np.flatnonzero(real_types == kind), np.flatnonzero(made_types == kind)
        if len(others):
            out[rows] = nearest(real[rows], made[others], 1)[:, 0] <= radius[rows]
    return out


def nearness(cells: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each cell to its nearest training cell, and that over the distance to the second nearest.

    The second is 0 for a copy and near 1 for a cell that is no nearer to one training cell than to others, wherever it
    lies; 0 too where the two nearest coincide with the cell.
    """
    two = nearest(cells, train, 2)
    first, second = two[:, 0], two[:, -1]
    return first, np.divide(first, second, out=np.zeros_like(first), where=second > 0)


def copied(ratio: np.ndarray, real_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Tell which cells are copies of a training cell, and the limit.

    Parameters
    ----------
    ratio, real_ratio
        Second result of ``nearness`` for the generated and for the real held-out cells. The limit is 0.9 times the
        first percentile of the real ones.
    """
    limit = COPY_MARGIN * float(np.quantile(real_ratio, COPY_LEVEL))
    return ratio <= limit, limit
