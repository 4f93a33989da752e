"""Metrics of an integrated graph, for methods whose result is a graph of cells instead of vectors."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.metrics import agreement
from sceval.metrics.clustering import Sweep
from sceval.metrics.graph import graph_connectivity_scib, path_neighbors
from sceval.metrics.lisi import lisi, neighbor_probabilities, scale_mixing, scale_purity
from sceval.metrics.space import N_NEIGHBORS, PERPLEXITY

IDS = ("graph_nmi", "graph_ari", "graph_gc", "graph_clisi", "graph_ilisi")
STANDARD = dict(zip(IDS, ("nmi", "ari", "gc_scib", "clisi_graph", "ilisi_graph"), strict=True))
"""The metric of an embedding that each of them is on the embedding's neighbour graph."""


def as_graph(weights: sparse.spmatrix) -> sparse.csr_matrix:
    """Return the graph symmetric (the larger of two directions), without self-loops and zeros."""
    graph = sparse.csr_matrix(weights).astype(np.float64)
    graph = graph.maximum(graph.T).tolil()
    graph.setdiag(0)
    graph = graph.tocsr()
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def graph_values(weights: sparse.csr_matrix, batches: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict:
    """Score a graph by clusters (rule `study`), connected parts, and LISI by path; see scIB's graph output.

    Parameters
    ----------
    weights
        Symmetric connectivities (`as_graph`), cells x cells; a larger one is a stronger link.
    batches, labels
        Codes; a label below 0 is none, and its cell is left out of what needs labels.

    Returns
    -------
    values
        Every id of ``IDS``; NaN where there is one batch, or one label.
    """
    out = dict.fromkeys(IDS, float("nan"))
    has = labels >= 0
    n_batches, n_labels = len(np.unique(batches)), len(np.unique(labels[has]))
    indices, distances = path_neighbors(weights, min(N_NEIGHBORS, weights.shape[0] - 1))
    kernel = neighbor_probabilities(distances, PERPLEXITY)
    lonely = indices[:, -1] < 0
    if n_batches > 1:
        values = np.where(lonely, 1.0, lisi(kernel, batches[indices], int(batches.max()) + 1))
        out["graph_ilisi"] = float(scale_mixing(np.median(values), n_batches))
    if has.sum() < 3 or n_labels < 2:
        return out
    inside = weights[has][:, has]
    sweep = Sweep("study", int(has.sum()), seed)
    sweep.feed(inside)
    found = sweep.result(labels[has])
    table = agreement.contingency(found.memberships[found.chosen[0]], labels[has])
    out["graph_nmi"], out["graph_ari"] = float(agreement.nmi(table)), float(agreement.ari(table))
    out["graph_gc"] = float(np.nanmean(graph_connectivity_scib(inside, labels[has])))
    labelled = kernel * (has[indices] & (indices >= 0))
    purity = np.where(lonely, 1.0, lisi(labelled, np.maximum(labels[indices], 0), int(labels.max()) + 1))
    out["graph_clisi"] = float(scale_purity(np.nanmedian(purity[has]), n_labels))
    return out
