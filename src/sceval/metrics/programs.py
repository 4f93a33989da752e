"""Gene programs: communities of a network, what gene sets they are enriched for, and how alike two divisions are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

LEAST_GENES = 5
"""Genes that a community needs to be a program (as in the scEval study)."""

FALSE_DISCOVERY_RATE = 0.05

NEIGHBORS = 5
"""Strongest partners of each gene that make the graph where no number of edges is given."""

STUDY_NEIGHBORS, STUDY_RESOLUTION = 15, 40.0
"""The study's rule: Leiden at resolution 40 on each gene's 15 nearest genes."""


def strongest(score: np.ndarray, m: int) -> np.ndarray:
    """Return the positions of the m highest scores; ties are broken at random, always in the same way."""
    if len(score) <= m:
        return np.arange(len(score))
    shuffled = np.random.default_rng(0).permutation(len(score))
    return np.sort(shuffled[np.argsort(-score[shuffled], kind="stable")[:m]])


def undirected(a: np.ndarray, b: np.ndarray, score: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs with the higher score of their two directions: first gene, second gene, score."""
    low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64)
    order = np.argsort(-score, kind="stable")
    code, first = np.unique((low * n + high)[order], return_index=True)
    return code // n, code % n, score[order][first]


def nearest_pairs(a: np.ndarray, b: np.ndarray, score: np.ndarray, k: int) -> np.ndarray:
    """Return which pairs are among the k strongest of one of their two genes (a mask); ties broken at random."""
    shuffled = np.random.default_rng(0).permutation(len(score))
    rank = np.empty(len(score), np.int64)
    rank[shuffled[np.argsort(-score[shuffled], kind="stable")]] = np.arange(len(score))
    gene, pair = np.concatenate([a, b]), np.tile(np.arange(len(score)), 2)
    order = np.lexsort((rank[pair], gene))
    start = np.flatnonzero(np.diff(gene[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(start, np.diff(start, append=len(order)))
    keep = np.zeros(len(score), bool)
    keep[pair[order[place < k]]] = True
    return keep


def programs(
    a: np.ndarray, b: np.ndarray, score: np.ndarray, n: int, m: int | None, rule: str = "fixed", seed: int = 0
) -> list[np.ndarray]:
    """Return the programs of a network, each an array of gene numbers, the largest first.

    Parameters
    ----------
    a, b, score
        Edges (directions are joined) and their scores; only their order counts, the graph has no weights.
    n
        Number of genes.
    m
        Edges that the rule `fixed` keeps, the strongest; where None each gene's `NEIGHBORS` strongest.
    rule
        `fixed`: Leiden (modularity, resolution 1). `study`: resolution 40 on each gene's 15 strongest partners (Liu et
        al. 2023, after the scGPT tutorial).
    seed
        Of Leiden.
    """
    import random

    import igraph

    a, b, score = undirected(a, b, score, n)
    resolution = 1.0
    if rule == "study":
        keep, resolution = nearest_pairs(a, b, score, STUDY_NEIGHBORS), STUDY_RESOLUTION
    else:
        keep = nearest_pairs(a, b, score, NEIGHBORS) if m is None else strongest(score, m)
    graph = igraph.Graph(n=n, edges=np.column_stack([a[keep], b[keep]]), directed=False)
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden(objective_function="modularity", resolution=resolution, n_iterations=5)
    finally:
        igraph.set_random_number_generator(random)
    members = np.asarray(found.membership)
    sizes = np.bincount(members)
    large = [code for code in np.argsort(-sizes, kind="stable") if sizes[code] >= LEAST_GENES]
    return [np.flatnonzero(members == code) for code in large]


def best_match(mine: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Best Jaccard index of each of the other's programs with one of mine: mean, weighted by size; 0 where I have none.

    NaN where the other has none: nothing can be found again.
    """
    if not other:
        return float("nan")
    best = [max((edge_overlap(p, q) for p in mine), default=0.0) for q in other]
    return float(np.average(best, weights=[len(q) for q in other]))


def program_jaccard(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Mean of `best_match` both ways, so that neither one giant program nor many splinters are free."""
    if not a and not b:
        return float("nan")
    return float(np.mean([best_match(x, y) if y else 0.0 for x, y in ((a, b), (b, a))]))


def edge_overlap(p: np.ndarray, q: np.ndarray) -> float:
    """Jaccard index of two sets of genes without repetition."""
    both = len(np.intersect1d(p, q, assume_unique=True))
    return both / (len(p) + len(q) - both)


@dataclass(frozen=True)
class Enrichment:
    """`p`: one-sided hypergeometric p-values, programs x sets; `enriched`: which pass, programs x sets."""

    p: np.ndarray
    enriched: np.ndarray

    @property
    def terms(self) -> np.ndarray:
        """Which sets some program is enriched for."""
        return self.enriched.any(axis=0) if self.enriched.size else np.zeros(self.enriched.shape[1], bool)


def enrichment(found: list[np.ndarray], sets: np.ndarray, bonferroni: bool = False) -> Enrichment:
    """Test programs against gene sets.

    Parameters
    ----------
    found
        Programs.
    sets
        Membership, sets x genes. Genes in no set are left out, of programs and of the background.
    bonferroni
        The study's rule, p < 0.05 / number of sets, in place of Benjamini and Hochberg at 0.05 over all tests.
    """
    p = np.ones((len(found), len(sets)))
    background = sets.any(axis=0)
    total, sizes = int(background.sum()), sets.sum(axis=1)
    for row, genes in enumerate(found):
        here = genes[background[genes]]
        overlap = sets[:, here].sum(axis=1)
        p[row] = [_upper_tail(k, total, size, len(here)) for k, size in zip(overlap, sizes, strict=True)]
    if bonferroni:
        return Enrichment(p, p < FALSE_DISCOVERY_RATE / max(len(sets), 1))
    flat = np.sort(p, axis=None)
    passed = np.flatnonzero(flat <= FALSE_DISCOVERY_RATE * np.arange(1, len(flat) + 1) / max(len(flat), 1))
    return Enrichment(p, p <= flat[passed[-1]] if len(passed) else np.zeros(p.shape, bool))


def _upper_tail(k: int, total: int, marked: int, drawn: int) -> float:
    """P(overlap >= k) of `drawn` of `total` genes with `marked` marked ones (Fisher's exact test, one-sided)."""
    if k <= 0:
        return 1.0
    x = np.arange(k, min(marked, drawn) + 1)
    log = _choose(marked, x) + _choose(total - marked, drawn - x) - _choose(total, drawn)
    return float(min(np.exp(log[np.isfinite(log)]).sum(), 1.0))


def _choose(n: int, k: np.ndarray | int) -> np.ndarray:
    k = np.asarray(k, float)
    with np.errstate(invalid="ignore"):
        out = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.where((k < 0) | (k > n), -np.inf, out)
