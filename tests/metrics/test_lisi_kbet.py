from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from sceval.metrics import kbet, lisi
from sceval.metrics.graph import connectivities
from sceval.metrics.neighbors import knn


def test_kernel_reaches_its_perplexity_in_any_unit():
    distances = np.sort(np.random.default_rng(0).gamma(3, size=(50, 89)), axis=1)
    p = lisi.neighbor_probabilities(distances, 30)
    entropy = -np.sum(p * np.log(p, where=p > 0, out=np.zeros_like(p)), axis=1)
    assert np.allclose(entropy, np.log(30), atol=1e-6)
    assert np.allclose(p, lisi.neighbor_probabilities(distances * 1e6, 30), atol=1e-9)
    assert np.allclose(p, lisi.neighbor_probabilities(distances * 1e-6, 30), atol=1e-9)


def test_kernel_where_the_perplexity_cannot_be_reached():
    equal = lisi.neighbor_probabilities(np.full((1, 40), 2.0), 30)
    assert np.allclose(equal, 1 / 40)
    few = lisi.neighbor_probabilities(np.array([[1.0, 2.0, np.inf]]), 30)
    assert np.allclose(few, [[0.5, 0.5, 0]])
    # 35 copies at distance 0 and others far away: equal weights on the copies.
    copies = lisi.neighbor_probabilities(np.array([[0.0] * 35 + [1.0] * 54]), 30)
    assert np.allclose(copies[0, :35], 1 / 35, atol=1e-4)
    assert copies[0, 35:].max() < 1e-4
    assert np.isnan(lisi.lisi(lisi.neighbor_probabilities(np.full((1, 3), np.inf), 2), np.zeros((1, 3), int), 2))


def test_lisi_by_hand():
    weights = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    codes = np.array([[0, 1, 1], [1, 0, 0]])
    assert np.allclose(lisi.lisi(weights, codes, 2), [2, 1])
    assert lisi.scale_mixing(1.5, 3) == 0.25
    assert lisi.scale_purity(1.5, 3) == 0.75


def test_acceptance_against_scipy():
    rng = np.random.default_rng(2)
    neighbor_batches, totals = rng.integers(0, 3, size=(40, 50)), np.array([100, 120, 90])
    found = kbet.acceptance(neighbor_batches, np.ones((40, 50), bool), totals)
    for row, accepted in zip(neighbor_batches, found, strict=True):
        p = chisquare(np.bincount(row, minlength=3), 50 * totals / totals.sum()).pvalue
        assert accepted == (p >= 0.05)


def test_label_tests_leave_out_and_reject():
    rng = np.random.default_rng(4)
    X = np.concatenate([rng.normal(size=(60, 3)), rng.normal(size=(8, 3)) + 50, rng.normal(size=(40, 3)) - 90])
    X[88:] += 400  # label 2 falls into two parts of 20 cells, each under 3 k0 = 30
    labels = np.repeat([0, 1, 2], [60, 8, 40])
    batches = np.arange(108) % 2
    tests, notes = kbet.label_tests(connectivities(*knn(X, 10)), labels, batches)
    assert [test.label for test in tests] == [0, 2]
    assert any("label 1: 8 cells" in note for note in notes)
    mixed = tests[0]
    assert not mixed.rejected
    assert (mixed.neighbors[:, 0] == mixed.rows).all()
    assert mixed.k == 11
    assert tests[1].rejected


def test_diffusion_map_is_the_same_twice():
    weights = connectivities(*knn(np.random.default_rng(5).normal(size=(200, 4)), 15))
    first = kbet.diffusion_map(weights, 20)
    assert np.array_equal(first, kbet.diffusion_map(weights, 20))
    # The first component is the square root of the degrees of the normalised graph, one sign throughout.
    assert (np.sign(first[:, 0]) == np.sign(first[0, 0])).all()


def test_weights_that_are_all_absent_give_no_verdict():
    found = kbet.acceptance(np.zeros((1, 4), int), np.zeros((1, 4), bool), np.array([5, 5]))
    assert np.isnan(found[0])


def test_one_batch_or_one_label_cannot_be_scaled():
    assert np.isnan(lisi.scale_mixing(1.0, 1))
    assert np.isnan(lisi.scale_purity(1.0, 1))
