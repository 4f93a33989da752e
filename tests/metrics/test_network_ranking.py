"""Network metrics on matrices against those on pairs, and programs against what must come out."""

from __future__ import annotations

import numpy as np
import pytest

from sceval.metrics.network import network_scores
from sceval.metrics.network_ranking import (
    auroc_by_source,
    degree_null,
    edge_jaccard,
    network_values,
    random_jaccard,
    ranking,
)
from sceval.metrics.programs import (
    best_match,
    enrichment,
    nearest_pairs,
    program_jaccard,
    programs,
    strongest,
    undirected,
)


@pytest.mark.parametrize("ties", [False, True])
def test_matrices_give_what_pairs_give(ties):
    rng = np.random.default_rng(0)
    sources, genes = np.arange(6), np.arange(20)
    truth = (rng.random((6, 20)) < 0.2) & (sources[:, None] != genes[None, :])
    truth[:, truth.sum(axis=0) + np.isin(genes, sources) == 0] = True  # each gene is one of the reference
    truth[sources, sources] = False
    score = rng.random((6, 20)) + truth
    if ties:
        score = np.round(score, 1) + 0.1
    score[rng.random((6, 20)) < 0.2] = -np.inf
    edges = [(f"g{a}", f"g{b}") for a, b in zip(*np.nonzero(truth), strict=True)]
    row, column = np.nonzero(np.isfinite(score))
    predicted = [(f"g{a}", f"g{b}") for a, b in zip(row, column, strict=True)]
    expected = network_scores(edges, predicted, score[row, column], regulators_only=True)
    found = network_values(ranking(truth, score, sources[:, None] != genes[None, :]))
    assert found["auprc_trapezoid"] == pytest.approx(expected.auprc)
    assert found["auprc"] == pytest.approx(expected.average_precision)
    assert found["auroc"] == pytest.approx(expected.auroc)
    assert found["epr"] == pytest.approx(expected.epr)
    assert found["density"] == pytest.approx(expected.random_precision)


def test_some_sources_alone_are_scored_as_a_network_of_their_own():
    rng = np.random.default_rng(1)
    truth, score, possible = rng.random((5, 30)) < 0.2, rng.random((5, 30)), np.ones((5, 30), bool)
    keep = np.array([True, False, True, True, False])
    part = network_values(ranking(truth, score, possible), keep)
    assert part == network_values(ranking(truth[keep], score[keep], possible[keep]))
    by_source = auroc_by_source(ranking(truth, score, possible), 5)
    assert by_source[2] == network_values(ranking(truth[2:3], score[2:3], possible[2:3]))["auroc"]
    nothing = network_values(ranking(np.zeros((5, 30), bool), score, possible))
    assert all(np.isnan(value) for value in nothing.values())


def test_a_flood_of_ties_fools_the_trapezoid_alone():
    truth = np.zeros((10, 100), bool)
    truth[:, :3] = True
    found = network_values(ranking(truth, np.ones((10, 100)), np.ones((10, 100), bool)))
    assert found["auprc"] == pytest.approx(0.03)
    assert found["auprc_trapezoid"] > 0.5
    assert found["epr"] == pytest.approx(1.0)
    assert found["auroc"] == 0.5


def test_degrees_and_overlaps():
    truth = np.array([[1, 1, 0], [0, 1, 0]], bool)
    assert degree_null(truth).tolist() == [[2, 4, 0], [1, 2, 0]]
    assert edge_jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 0.25
    assert np.isnan(edge_jaccard(np.empty(0), np.empty(0)))
    draws = [random_jaccard(1000, 100, np.random.default_rng(seed)) for seed in range(50)]
    assert np.mean(draws) == pytest.approx(10 / 190, rel=0.15)


def _blocks(n_blocks: int, size: int):
    """Return pairs inside blocks with scores 1, and weak ones between them."""
    rng = np.random.default_rng(0)
    n = n_blocks * size
    a, b = np.triu_indices(n, 1)
    inside = a // size == b // size
    return a, b, np.where(inside, 1.0 + rng.random(len(a)), rng.random(len(a)) * 0.5), n


def test_programs_are_the_blocks_of_a_network():
    a, b, score, n = _blocks(4, 10)
    for m in (4 * 45, None):
        found = programs(a, b, score, n, m)
        assert sorted(map(tuple, found)) == [tuple(range(10 * i, 10 * i + 10)) for i in range(4)]
    again = programs(b, a, 3 * score - 1, n, 180)
    assert program_jaccard(found, again) == 1.0
    assert program_jaccard(found, [np.arange(40)]) < 0.3  # one giant program matches none
    assert program_jaccard(found, []) == 0.0
    assert np.isnan(best_match(found, []))


def test_the_studys_rule_cuts_smaller_programs():
    a, b, score, n = _blocks(3, 40)
    assert max(map(len, programs(a, b, score, n, None, "study")), default=0) < 40


def test_strongest_undirected_and_nearest_pairs():
    a, b, score = undirected(np.array([0, 1, 2]), np.array([1, 0, 3]), np.array([0.1, 0.7, 0.2]), 4)
    assert list(zip(a, b, score, strict=True)) == [(0, 1, 0.7), (2, 3, 0.2)]
    assert list(strongest(np.array([0.1, 0.9, 0.5]), 2)) == [1, 2]
    tied = strongest(np.zeros(100), 10)
    assert len(tied) == 10
    assert list(tied) != list(range(10))  # ties are not broken by position
    keep = nearest_pairs(np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([0.9, 0.1, 0.5]), 1)
    assert keep.tolist() == [True, False, True]  # 2's only partner left is 1


def test_enrichment_is_the_hypergeometric_test():
    from scipy.stats import hypergeom

    sets = np.zeros((12, 60), bool)
    for row in range(12):
        sets[row, row * 5 : row * 5 + 5] = True
    found = enrichment([np.array([0, 1, 2, 3, 7]), np.array([10, 20, 30, 40, 50])], sets)
    assert found.p[0, 0] == pytest.approx(hypergeom.sf(3, 60, 5, 5))
    assert found.p[1, 2] == pytest.approx(hypergeom.sf(0, 60, 5, 5))
    assert found.enriched.tolist()[0] == [True] + [False] * 11
    assert not found.enriched[1].any()
    assert found.terms.sum() == 1
    assert enrichment([], sets).terms.sum() == 0
    assert not enrichment([np.arange(40)], sets).enriched.any()  # one giant program is no finding
