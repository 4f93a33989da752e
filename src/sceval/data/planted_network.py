"""A gene network of known edges, planted on real cells as counts, after their own co-expression is permuted away."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile

REGULATORS, DECOYS, TARGETS = 40, 10, 240
"""Genes that may be a source, how many of them regulate nothing, and genes that are regulated."""

LEAST_DETECTED = 0.2
"""Share of the cells in which a planted gene is seen: a network among genes that are never seen cannot be found."""

EFFECT, OWN = 0.5, 0.9
"""Standard deviations, in natural logarithms of a rate, of one regulator's effect and of its own expression."""

SHARED = 0.5
"""Correlation of the activities in every other pair of regulators: one looks like a source of the other's targets."""

REPRESSED = 0.2
"""Share of the edges that lower their target."""


def strata(labels: np.ndarray, total: np.ndarray, parts: int = 3) -> np.ndarray:
    """Return a code for each cell (n,): its type, cut into thirds by depth."""
    out = np.empty(len(labels), int)
    for code, label in enumerate(np.unique(labels.astype(str))):
        rows = np.flatnonzero(labels == label)
        place = np.empty(len(rows), int)
        place[np.argsort(total[rows], kind="stable")] = np.arange(len(rows))
        out[rows] = code * parts + place * parts // len(rows)
    return out


def permute_within(X: np.ndarray, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return counts with each gene permuted by itself inside each stratum: type and depth stay, all else goes."""
    out = X.copy()
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        out[rows] = rng.permuted(out[rows], axis=0)
    return out


def weights(n_active: int, rng: np.random.Generator) -> np.ndarray:
    """Return the effects, `REGULATORS` x `TARGETS`: one to three regulators a target, hubs by a power law."""
    hub = np.arange(1, n_active + 1) ** -0.7
    W = np.zeros((REGULATORS, TARGETS))
    for target in range(TARGETS):
        k = rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])
        who = rng.choice(n_active, k, replace=False, p=hub / hub.sum())
        sign = np.where(rng.random(k) < REPRESSED, -1.0, 1.0)
        W[who, target] = EFFECT * sign * rng.uniform(0.6, 1.4, k)
    return W


def plant_network(cells: CellFile, seed: int = 0) -> CellFile:
    """Return the cells with a known network.

    Each gene is permuted inside type and third of depth. Each cell then has an activity z ~ N(0, 1) of every regulator
    (`SHARED` between some). A regulator's counts are Poisson(rate x exp(`OWN` z - `OWN`^2 / 2)), a target's
    Poisson(rate x exp(sum w z - sum w^2 / 2)), the rate being its share of the counts of the cell's type times the
    cell's depth. So a gene's mean in a type stays, and tells nothing of the edges. All other genes stay permuted.

    `uns['network']`: `source`, `target`, and `regulators` (among them `DECOYS` without an edge);
    `uns['gene_sets']`: the targets of each regulator with five and more.

    Parameters
    ----------
    cells
        Real cells with `obs['cell_type']` and counts in `X`.
    seed
        Seed of everything drawn.

    Raises
    ------
    ValueError
        If too few genes are seen in enough cells.
    """
    rng = np.random.default_rng(seed)
    X = cells.X.toarray().astype(int)
    total, labels = X.sum(axis=1), cells.obs["cell_type"].astype(str)
    seen = rng.permutation(np.flatnonzero((X > 0).mean(axis=0) > LEAST_DETECTED))
    if len(seen) < REGULATORS + TARGETS:
        msg = f"{len(seen)} genes are seen in a share of {LEAST_DETECTED} of the cells; {REGULATORS + TARGETS} needed"
        raise ValueError(msg)
    regulators, targets = seen[:REGULATORS], seen[REGULATORS : REGULATORS + TARGETS]
    X = permute_within(X, strata(labels, total), rng)
    z = rng.normal(size=(len(X), REGULATORS))
    z[:, 1::4] = SHARED * z[:, 0::4] + np.sqrt(1 - SHARED**2) * z[:, 1::4]
    W = weights(REGULATORS - DECOYS, rng)
    rate = np.empty(X.shape)
    for label in np.unique(labels):
        rows = labels == label
        rate[rows] = np.outer(total[rows], X[rows].sum(axis=0) / total[rows].sum())
    X[:, regulators] = rng.poisson(rate[:, regulators] * np.exp(OWN * z - OWN**2 / 2))
    # Correlated activities raise the variance of a target's sum a little; its mean is kept by the covariance of z.
    C = np.eye(REGULATORS)
    pairs = np.arange(0, REGULATORS, 4)
    C[pairs, pairs + 1] = C[pairs + 1, pairs] = SHARED
    X[:, targets] = rng.poisson(rate[:, targets] * np.exp(z @ W - ((C @ W) * W).sum(axis=0) / 2))
    # An empty cell is no cell: it keeps one count of its most frequent gene.
    empty = X.sum(axis=1) == 0
    X[empty, rate[empty].argmax(axis=1)] = 1
    out = CellFile(cells.obs_names, cells.var_names, X=sparse.csr_matrix(X.astype(np.float32)), var=dict(cells.var))
    out.obs |= dict(cells.obs)
    name = cells.var_names
    source, target = np.nonzero(W)
    out.uns["network"] = {
        "source": name[regulators[source]],
        "target": name[targets[target]],
        "regulators": np.sort(name[regulators].astype(str)).astype(object),
    }
    large = np.isin(source, np.flatnonzero((W != 0).sum(axis=1) >= 5))
    out.uns["gene_sets"] = {
        "gene": name[targets[target[large]]],
        "class": np.array([f"targets of {gene}" for gene in name[regulators[source[large]]]], object),
    }
    return out
