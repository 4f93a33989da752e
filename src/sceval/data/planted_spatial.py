"""Spots of a tissue, planted on real cells, as counts: each spot pools a few thinned cells; the reference has others.

Half of the cells of each type are the single-cell reference. The others are dealt to the spots of a square grid: which
types lie where is a smooth random field, each spot draws its cells by it, and the technology of the spots has another
efficiency for each gene.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile

GRID = 14
"""Spots along a side."""

CELLS = (3, 5)
"""Fewest and most cells of a spot."""

KEPT = 0.6
"""Share of a cell's counts that thinning leaves in a spot: a cell may lie in several, never with the same counts."""

WAVES, STEEPNESS = 3, 2.5
"""Cosine waves of the field of each type (wave numbers up to one and a half per side), and how sharply types part."""

EFFICIENCY = 0.4
"""Standard deviation of the natural log of a gene's efficiency in the spots relative to single cells."""

DEPTH = 0.3
"""Standard deviation of the natural log of a spot's depth."""


def type_field(positions: np.ndarray, n_types: int, rng: np.random.Generator) -> np.ndarray:
    """Return log weights of the types at each position (spots x types): sums of a few long waves, unit variance."""
    side = positions / max(positions.max(), 1)
    numbers = rng.uniform(-1.5, 1.5, (n_types, WAVES, 2))
    phases = rng.uniform(0, 2 * np.pi, (n_types, WAVES))
    waves = np.cos(2 * np.pi * np.einsum("sd,twd->stw", side, numbers) + phases)
    field = waves.sum(axis=2)
    return (field - field.mean(axis=0)) / np.maximum(field.std(axis=0), 1e-9)


def plant_spatial(cells: CellFile, seed: int = 0) -> CellFile:
    """Return reference cells and spots with `obs['modality']`, `obs['cell_type']` and `obsm['spatial']`.

    The type of a spot is that of most of its cells. Positions of reference cells are NaN. The truth is what the spots
    count in the genes that the task holds out.

    Parameters
    ----------
    cells
        Real cells with counts and `obs['cell_type']`.
    seed
        Seed of everything.
    """
    rng = np.random.default_rng(seed)
    labels = cells.obs["cell_type"].astype(str)
    names = np.unique(labels)
    pools, reference = [], []
    for name in names:
        rows = rng.permutation(np.flatnonzero(labels == name))
        half = len(rows) // 2
        reference.append(rows[half:])
        pools.append(rows[:half])
    reference = np.sort(np.concatenate(reference))
    positions = np.array([(x, y) for y in range(GRID) for x in range(GRID)], float)
    share = np.array([len(pool) for pool in pools], float)
    weights = np.exp(STEEPNESS * type_field(positions, len(names), rng)) * share
    weights /= weights.sum(axis=1, keepdims=True)
    factor = np.minimum(KEPT * np.exp(rng.normal(0, EFFICIENCY, cells.n_vars)), 1.0)
    counts = np.zeros((len(positions), cells.n_vars), np.int64)
    kinds = np.empty(len(positions), object)
    for spot in range(len(positions)):
        drawn = rng.choice(len(names), rng.integers(CELLS[0], CELLS[1] + 1), p=weights[spot])
        kinds[spot] = names[np.bincount(drawn).argmax()]
        rows = np.array([rng.choice(pools[kind]) for kind in drawn])
        depth = min(float(np.exp(rng.normal(-DEPTH, DEPTH))), 1.0)
        counts[spot] = rng.binomial(cells.X[rows].toarray().astype(np.int64), factor * depth).sum(axis=0)
        if not counts[spot].any():  # a spot without any count would be refused
            counts[spot] = cells.X[rows[0]].toarray().ravel().astype(np.int64)
    X = sparse.vstack([cells.X[reference], sparse.csr_matrix(counts.astype(np.float32))]).tocsr()
    X.sort_indices()
    ids = np.concatenate([cells.obs_names[reference], [f"spot{row:04d}" for row in range(len(positions))]])
    out = CellFile(ids.astype(object), cells.var_names, X=X, var=dict(cells.var))
    out.obs["cell_type"] = np.concatenate([labels[reference], kinds]).astype(object)
    sizes = (len(reference), len(positions))
    out.obs["modality"] = np.repeat(np.array(["single_cell", "spatial"], object), sizes)
    out.obsm["spatial"] = np.vstack([np.full((sizes[0], 2), np.nan), positions])
    return out
