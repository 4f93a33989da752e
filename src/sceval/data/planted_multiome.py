"""A second modality planted on real cells: peaks at real gene positions, whose counts follow other cells' RNA.

Accessibility of a cell follows the expression of the cells most like it, not its own: so its noise is its own, and a
pair can only be matched by the state that both share. One factor, a coin for each cell, opens peaks and is nowhere in
the RNA: without it the second modality could never add anything.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.gene_activity import read_positions
from sceval.data.preprocess import log_cp10k, pca

NEIGHBORS = 15
"""Other cells whose mean expression a cell's accessibility follows."""

COMPONENTS = 20
"""Principal components in which they are the nearest."""

DISTAL = 300
"""Peaks far from every gene of the map: they tell of no gene."""

UNLINKED = 0.5
"""Share of the genes whose peaks do not follow their expression, as is usual in real data."""

FRAGMENTS = 800.0
"""Median of a cell's expected counts over all peaks."""

DEPTH_SPREAD = 0.35
"""Standard deviation of the natural logarithm of a cell's depth, drawn apart from the depth of its RNA."""

PROMOTER, BODY = 0.8, 0.4
"""Powers of the relative expression that peaks of linked genes follow, at the start and inside."""

FACTOR_PEAKS = 120
"""Peaks that the factor opens, half of them distal."""

FACTOR = 3.0
"""By how much it opens them."""


def positions() -> dict[str, np.ndarray]:
    """Return the positions (hg19) of the embedded cells' genes that are known."""
    path = resources.files("sceval").joinpath("assets", "multiome", "pbmc68k_genes_hg19.tsv")
    return read_positions(Path(str(path)))


def smoothed(X: sparse.csr_matrix) -> np.ndarray:
    """Return for each cell the mean CP10k expression (n x g) of its nearest other cells."""
    Z = pca(log_cp10k(X), COMPONENTS)[0]
    squares = np.einsum("ij,ij->i", Z, Z)
    distance = squares[:, None] + squares[None, :] - 2 * Z @ Z.T  # 700 cells
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, NEIGHBORS, axis=1)[:, :NEIGHBORS]
    per_cell = np.expm1(log_cp10k(X).toarray())
    return per_cell[nearest].mean(axis=1)


def _peaks(table: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[list[str], list[int], list[float]]:
    """Return names, the row of the table (-1: distal) and how closely a peak follows its gene."""
    names, rows, power = [], [], []
    follows = rng.random(len(table["start"])) >= UNLINKED
    for row, (chrom, start, end, strand) in enumerate(
        zip(*(table[key] for key in ("chrom", "start", "end", "strand")), strict=True)
    ):
        begin = start if strand != "-" else end
        names.append(f"{chrom}:{max(begin - 400, 0)}-{begin + 400}")
        rows.append(row)
        power.append(PROMOTER * follows[row])
        if end - start > 6000:
            middle = (start + end) // 2 + int(rng.integers(-1000, 1000))
            names.append(f"{chrom}:{middle - 300}-{middle + 300}")
            rows.append(row)
            power.append(BODY * follows[row])
    first = table["end"].max() + 1_000_000
    for number in range(DISTAL):
        low = int(first + number * 10_000)
        names.append(f"chr{1 + number % 22}:{low}-{low + 500}")
        rows.append(-1)
        power.append(0.0)
    return names, rows, power


def plant_multiome(cells: CellFile, seed: int = 0) -> CellFile:
    """Return the cells with `uns['second']` (peaks x cells, counts), `uns['gene_positions']` and `obs['factor']`.

    The expected count of a peak is base x (0.2 + 0.8 relative smoothed expression of its gene) to the power `PROMOTER`
    or `BODY` (0 where the gene is not linked), times `FACTOR` where the cell has the factor and it opens the peak,
    times the cell's depth; counts are Poisson draws.

    Parameters
    ----------
    cells
        Real cells with counts in `X`.
    seed
        Seed of bases, depths, factor and counts.
    """
    rng = np.random.default_rng(seed)
    table = positions()
    names, rows, power = _peaks(table, rng)
    column = {name: place for place, name in enumerate(cells.var_names)}
    expressed = smoothed(cells.X)
    relative = expressed / np.maximum(expressed.mean(axis=0), 1e-9)
    genes = np.array([column[table["symbol"][row]] if row >= 0 else -1 for row in rows])
    at_gene = genes >= 0
    rate = np.ones((cells.n_obs, len(names)))
    rate[:, at_gene] = (0.2 + 0.8 * relative[:, genes[at_gene]]) ** np.asarray(power)[at_gene]
    rate *= rng.gamma(2.0, 0.5, len(names))
    factor = rng.integers(0, 2, cells.n_obs)
    opened = np.concatenate(
        [rng.choice(np.flatnonzero(part), FACTOR_PEAKS // 2, replace=False) for part in (at_gene, ~at_gene)]
    )
    rate[:, opened] *= np.where(factor == 1, FACTOR, 1.0)[:, None]
    depth = FRAGMENTS * np.exp(rng.normal(0, DEPTH_SPREAD, cells.n_obs))
    counts = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * depth[:, None])
    out = CellFile(cells.obs_names, cells.var_names, X=cells.X, obs=dict(cells.obs), var=dict(cells.var))
    out.obs["factor"] = np.where(factor == 1, "on", "off").astype(object)
    out.uns["second"] = CellFile(
        cells.obs_names, np.array(names, object), X=sparse.csr_matrix(counts.astype(np.float32)), obs=dict(cells.obs)
    )
    out.uns["gene_positions"] = table
    return out
