"""A batch effect of known strength, planted on real cells, as counts."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile

SHARES = (0.55, 0.30, 0.15)
"""Shares of the three batches: unbalanced, as in practice."""

PRIVATE_TYPE = "CD56+ NK"
"""All cells of this type go to the first batch: over-correction would mix them into another type."""

GENE_SPREAD = 0.8
"""Standard deviation, at strength 1, of the natural logarithm of a gene's factor in a batch."""

DEPTH_FACTORS = (1.0, 0.6, 1.4)
"""Depth of each batch at strength 1, relative to the cells as they are."""


def assign_batches(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a batch name for each cell (n,), drawn by `SHARES` inside each type; `PRIVATE_TYPE` in the first only."""
    batches = np.empty(len(labels), object)
    for label in np.unique(labels.astype(str)):
        rows = rng.permutation(np.flatnonzero(labels == label))
        edges = np.round(np.cumsum(SHARES) * len(rows)).astype(int)
        codes = np.searchsorted(edges, np.arange(len(rows)), side="right").clip(max=len(SHARES) - 1)
        batches[rows] = [f"b{code + 1}" for code in (np.zeros_like(codes) if label == PRIVATE_TYPE else codes)]
    return batches


def scale_counts(counts: np.ndarray, factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return counts whose expectation is `counts * factors` and which stay whole numbers.

    Below 1 a factor thins (binomial), above 1 it adds Poisson(count x (factor - 1)); a zero stays zero.
    """
    kept = rng.binomial(counts.astype(int), np.minimum(factors, 1.0))
    added = rng.poisson(counts * np.maximum(factors - 1.0, 0.0))
    return kept + added


def plant_batches(cells: CellFile, strength: float, seed: int = 0) -> CellFile:
    """Return the cells with three batches that differ by a gene-wise and a depth effect.

    Each batch multiplies each gene by exp(strength x N(0, `GENE_SPREAD`)) and its depth by
    `DEPTH_FACTORS` ** strength. Batches and draws of the gene factors are the same at every strength, so that
    datasets of different strengths differ in the strength alone. Cells with no count left keep one of
    their own counts, so that no cell is empty.

    Parameters
    ----------
    cells
        Real cells with `obs['cell_type']` and counts in `X`.
    strength
        0 (no effect) and more.
    seed
        Seed of the batches, of the factors and of the counts.
    """
    rng = np.random.default_rng(seed)
    batches = assign_batches(cells.obs["cell_type"], rng)
    gene_effects = rng.normal(0.0, GENE_SPREAD, (len(SHARES), cells.n_vars))
    codes = np.array([int(name[1:]) - 1 for name in batches])
    X = cells.X.tocsr()
    rows = np.repeat(np.arange(cells.n_obs), np.diff(X.indptr))
    depth = np.asarray(DEPTH_FACTORS)[codes] ** strength
    factors = np.exp(strength * gene_effects[codes[rows], X.indices]) * depth[rows]
    data = scale_counts(X.data, factors, rng) if strength > 0 else X.data.astype(int)
    totals = np.bincount(rows, data, minlength=cells.n_obs)
    first = X.indptr[:-1][totals == 0]
    data[first] = X.data[first]
    planted = sparse.csr_matrix((data.astype(np.float32), X.indices.copy(), X.indptr.copy()), X.shape)
    planted.eliminate_zeros()
    obs = {"batch": batches, "cell_type": cells.obs["cell_type"].copy()}
    return CellFile(cells.obs_names, cells.var_names, X=planted, obs=obs, var=dict(cells.var))
