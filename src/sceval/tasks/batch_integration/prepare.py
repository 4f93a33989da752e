"""View and solution of batch integration, and the geometry that each batch has before anything is integrated."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data import splits
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import column_moments, log_cp10k, pca
from sceval.metrics.neighbors import knn
from sceval.metrics.structure import LEAST_BATCH, MEMBER, N_RAW, NOT_ASKED
from sceval.tasks.views import solution_of, unintegrated, view_of

ID = "batch_integration"

OWN_GENES, OWN_COMPONENTS = 1000, 10
"""Variable genes and components of a batch's own PCA (scGraph, Wang, Leskovec and Regev 2025)."""

MOST_ASKED, MOST_MEMBERS = 2000, 20_000
"""Cells (of all batches) whose raw neighbours are kept, and cells of a batch among which they are searched."""


def _batch_matrix(X: sparse.csr_matrix, lognorm: bool) -> sparse.csr_matrix:
    """Return log CP10k of a batch in its own variable genes; `lognorm` data as they are."""
    if lognorm:
        variance = column_moments(X)[1]
        return X[:, np.sort(np.argsort(-variance, kind="stable")[:OWN_GENES])]
    genes = highly_variable_genes(X, min(OWN_GENES, X.shape[1]))
    return log_cp10k(X)[:, genes]


def own_geometry(data: CellFile) -> tuple[np.ndarray, np.ndarray]:
    """Return what each batch looks like by itself.

    Returns
    -------
    components, neighbors
        float32, n x 10: principal components of each batch alone; 0 for batches that are too small. int32, n x 50: for
        up to 2,000 cells the rows of their nearest cells of the same batch, by log CP10k in its variable genes;
        `MEMBER` in the first column of a cell that was searched among but not asked, `NOT_ASKED` elsewhere.
    """
    lognorm = data.uns["sceval"]["matrix"] == "lognorm"
    batches = data.obs["batch"].astype(str)
    X = sparse.csr_matrix(data.X)
    rng = np.random.default_rng(0)
    components = np.zeros((data.n_obs, OWN_COMPONENTS), np.float32)
    neighbors = np.full((data.n_obs, N_RAW), NOT_ASKED, np.int32)
    for name in np.unique(batches):
        rows = np.flatnonzero(batches == name)
        if len(rows) < LEAST_BATCH:
            continue
        matrix = _batch_matrix(X[rows], lognorm)
        if min(matrix.shape) < 2:
            continue
        found = pca(matrix, OWN_COMPONENTS)[0]
        components[rows, : found.shape[1]] = found
        members = np.sort(rng.permutation(len(rows))[:MOST_MEMBERS])
        share = round(MOST_ASKED * len(rows) / data.n_obs)
        asked = np.sort(rng.permutation(len(members))[: max(min(share, len(members)), 1)])
        k = min(N_RAW, len(members) // 3)
        lists, _ = knn(matrix[members].toarray(), k + 1, asked)
        neighbors[rows[members], 0] = MEMBER
        neighbors[rows[members[asked]], :k] = rows[members][lists[:, 1:]]
    return components, neighbors


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (counts, genes, batch) and solution (batch, label, unintegrated PCA, geometry of each batch).

    `all`: no label is shown. `with_labels`: the labels of 70 % of the labelled cells are shown, drawn label by label
    by the split seed; the others are `test` in the solution, and are what is scored.
    """
    del query
    view = view_of(data, dataset, ID, split)
    solution = solution_of(data, dataset, ID, split)
    if split == "with_labels":
        labels = data.obs["cell_type"]
        hidden = splits.intra(labels, split_seed) == "test"
        view.obs["cell_type"] = np.where(hidden, None, labels)
        solution.obs["part"] = np.where(hidden, "test", "train").astype(object)
    solution.obsm["X_pre"] = unintegrated(data)
    solution.obsm["X_own"], solution.obsm["raw_neighbors"] = own_geometry(data)
    return view, solution
