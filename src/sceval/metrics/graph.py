"""Neighbour graphs: UMAP connectivities, graph connectivity of labels, nearest cells by path."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra, reverse_cuthill_mckee

from sceval.metrics.neighbors import THREADS

_TOLERANCE = 1e-5
_MIN_SCALE = 1e-3
_ITERATIONS = 64


def connectivities(indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """UMAP edge weights of a neighbour list, symmetric, in (0, 1].

    Parameters
    ----------
    indices, distances
        Cells x k, the cell itself in column 0 at distance exactly 0.

    Returns
    -------
    weights
        float32, cells x cells. Per cell, rho is the smallest distance above 0 and sigma solves
        sum_j exp(-max(0, d_ij - rho) / sigma) = log2(k); the two directions are joined by a + b - ab.
        Source: McInnes et al. 2018 (UMAP), section 3.1; constants as in umap-learn, which scanpy calls.
    """
    n, k = indices.shape
    d = np.asarray(distances, dtype=np.float64)
    largest = d.max(initial=0.0)
    # Weights have no unit; float32 (as in the reference) has a range that extreme units leave.
    if largest > 0 and not 1e-25 < largest < 1e25:
        d = d / largest
    d = d.astype(np.float32).astype(np.float64)
    positive = np.where(d > 0, d, np.inf).min(axis=1)
    rho = np.where(np.isfinite(positive), positive, 0.0)
    excess = np.maximum(d[:, 1:] - rho[:, None], 0.0)
    sigma = _bandwidth(excess, np.log2(k))
    row_mean, overall = d.mean(axis=1), d.mean()
    sigma = np.maximum(sigma, _MIN_SCALE * np.where(rho > 0, row_mean, overall))
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(excess > 0, np.exp(-excess / sigma[:, None]), 1.0)
    rows = np.repeat(np.arange(n), k - 1)
    directed = sparse.csr_matrix((weights.ravel().astype(np.float32), (rows, indices[:, 1:].ravel())), shape=(n, n))
    directed.eliminate_zeros()
    transposed = directed.T.tocsr()
    joined = directed + transposed - directed.multiply(transposed)
    joined = sparse.csr_matrix(joined)
    joined.eliminate_zeros()
    joined.sort_indices()
    return joined


def _bandwidth(excess: np.ndarray, target: float) -> np.ndarray:
    # Bisection for all rows together; rows that have converged leave, as in the reference loop.
    n = len(excess)
    low, high, middle = np.zeros(n), np.full(n, np.inf), np.ones(n)
    active = np.arange(n)
    for _ in range(_ITERATIONS):
        total = np.exp(-excess[active] / middle[active, None]).sum(axis=1)
        off = total - target
        going = np.abs(off) >= _TOLERANCE
        active, off = active[going], off[going]
        if not len(active):
            break
        over, under = active[off > 0], active[off <= 0]
        high[over] = middle[over]
        low[under] = middle[under]
        open_ended = np.isinf(high[active])
        middle[active] = np.where(open_ended, middle[active] * 2, (low[active] + high[active]) / 2)
    return middle


def label_connectivity(edges: tuple[np.ndarray, np.ndarray], codes: np.ndarray, directed: bool) -> np.ndarray:
    """Share of each label's cells in its largest connected component.

    Parameters
    ----------
    edges
        Row numbers of the two ends of every edge.
    codes
        Label codes from 0, one per cell.
    directed
        True asks for strong components of the directed graph.

    Returns
    -------
    shares
        One per code, 0 to 1, NaN for a code without cells. Source: Luecken et al. 2022 (scIB).
    """
    n = len(codes)
    source, target = edges
    inside = codes[source] == codes[target]
    graph = sparse.csr_matrix(
        (np.ones(int(inside.sum()), dtype=np.int8), (source[inside], target[inside])), shape=(n, n)
    )
    _, component = connected_components(graph, directed=directed, connection="strong")
    sizes = np.bincount(component)
    labels = int(codes.max()) + 1
    largest = np.zeros(labels)
    np.maximum.at(largest, codes, sizes[component])
    counts = np.bincount(codes, minlength=labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, largest / counts, np.nan)


def graph_connectivity_scib(weights: sparse.csr_matrix, codes: np.ndarray) -> np.ndarray:
    """``gc_scib`` per label: components of the symmetric connectivity graph (15 neighbours). Source: scib 1.1.7."""
    edges = weights.tocoo()
    return label_connectivity((edges.row, edges.col), codes, directed=False)


def graph_connectivity_knn(indices: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """``gc_knn`` per label: strong components of the directed neighbour lists. Source: scib-metrics 0.5.10."""
    n, k = indices.shape
    return label_connectivity((np.repeat(np.arange(n), k), indices.ravel()), codes, directed=True)


def path_neighbors(weights: sparse.csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k other cells nearest by path, where an edge is as long as its connectivity.

    Parameters
    ----------
    weights
        Symmetric connectivities, cells x cells.
    k
        Neighbours per cell, the cell itself not counted.

    Returns
    -------
    indices, distances
        Cells x k; -1 and inf where fewer than k cells can be reached. A strong link is a *long* step: this is what
        scib's graph LISI does (scib 1.1.7, knn_graph), kept as it is because published numbers come from it.
    """
    n = weights.shape[0]
    graph = weights.astype(np.float64).tocsr()
    indices = np.full((n, k), -1, dtype=np.int64)
    distances = np.full((n, k), np.inf)
    # Search only as far as needed: the limit doubles for the cells that did not reach k others within it.
    limit = _first_limit(graph, k)
    # Cells that are close in the graph are searched together, on the part of the graph that they can reach.
    todo = reverse_cuthill_mckee(graph, symmetric_mode=True).astype(np.int64)
    while len(todo):
        before = len(todo)
        block = max(1, min(256, 8_000_000 // n))
        parts = [todo[start : start + block] for start in range(0, len(todo), block)]
        search = partial(_nearest_by_path, graph, k=k, limit=limit, indices=indices, distances=distances)
        with ThreadPoolExecutor(THREADS) as pool:
            todo = np.concatenate(list(pool.map(search, parts)))
        if np.isinf(limit):
            break
        # Where no further cell got its k, those left may never: a small component is searched to its end at once.
        limit = limit * 1.5 if 50 < len(todo) < before else np.inf
    return indices, distances


def _first_limit(graph: sparse.csr_matrix, k: int) -> float:
    n = graph.shape[0]
    if n <= 2 * k:
        return np.inf
    probe = np.linspace(0, n - 1, min(n, 64)).astype(int)
    found = dijkstra(graph, directed=True, indices=probe)
    kth = np.partition(found, k, axis=1)[:, k]
    kth = kth[np.isfinite(kth)]
    return float(np.quantile(kth, 0.9)) if len(kth) else np.inf


def _nearest_by_path(graph, part, k, limit, indices, distances) -> np.ndarray:
    # Every cell on a path within the limit is itself within the limit of one of the sources.
    near_any = dijkstra(graph, directed=True, indices=part, limit=limit, min_only=True)
    inside = np.flatnonzero(np.isfinite(near_any))
    local = graph[inside][:, inside]
    sources = np.searchsorted(inside, part)
    found = dijkstra(local, directed=True, indices=sources, limit=limit)
    found[np.arange(len(part)), sources] = np.inf
    row, column = np.nonzero(np.isfinite(found))
    counts = np.bincount(row, minlength=len(part))
    if counts.max(initial=0) == 0:
        return part
    offset = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(part), max(counts.max(), k)), np.inf)
    ids = np.full(table.shape, -1, dtype=np.int64)
    table[row, offset] = found[row, column]
    ids[row, offset] = inside[column]
    # Sort only what can be among the k: the search reaches several times more cells than that.
    bound = np.partition(table, k - 1, axis=1)[:, k - 1]
    row, column = np.nonzero(table <= bound[:, None])
    counts_near = np.bincount(row, minlength=len(part))
    offset = np.arange(len(row)) - np.repeat(np.cumsum(counts_near) - counts_near, counts_near)
    near = np.full((len(part), counts_near.max()), np.inf)
    near_ids = np.full(near.shape, -1, dtype=np.int64)
    near[row, offset], near_ids[row, offset] = table[row, column], ids[row, column]
    order = np.argsort(near, axis=1, kind="stable")[:, :k]
    indices[part] = np.take_along_axis(near_ids, order, axis=1)
    distances[part] = np.take_along_axis(near, order, axis=1)
    return part[counts < k]
