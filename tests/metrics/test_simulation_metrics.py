"""Metrics of simulation on arrays: against closed forms, against the plain two-sample measures, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import wasserstein_distance

from sceval.metrics import simulation, two_sample
from sceval.metrics.discrepancy import energy_distance, mmd2


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (40, 3)), rng.normal(0.5, 1.5, (30, 3))


def test_shares_add_up_to_the_plain_measures(pair):
    x, y = pair
    assert two_sample.energy_shares(x, y).mean() == pytest.approx(energy_distance(x, y))
    gammas = (0.1, 1.0)
    wanted = np.mean([mmd2(x, y, gamma) for gamma in gammas])
    assert two_sample.mmd_shares(x, y, gammas).mean() == pytest.approx(wanted)


def test_blocks_change_nothing(pair, monkeypatch):
    x, y = pair
    whole = two_sample.energy_shares(x, y), simulation.nearest(x, x, 3, same=True)
    monkeypatch.setattr(two_sample, "_BLOCK", 7)
    monkeypatch.setattr(simulation, "_BLOCK", 7)
    np.testing.assert_allclose(two_sample.energy_shares(x, y), whole[0])
    np.testing.assert_array_equal(simulation.nearest(x, x, 3, same=True), whole[1])


def test_one_cell_has_no_distance():
    assert np.isnan(two_sample.energy_shares(np.zeros((1, 2)), np.zeros((5, 2)))).all()


def test_the_classifier_sees_a_shift_and_a_spread_and_nothing_in_equal_samples():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(150, 4))
    assert two_sample.placements(x, rng.normal(size=(150, 4)) + 2).mean() > 0.95
    assert two_sample.placements(x, 4 * rng.normal(size=(150, 4))).mean() > 0.9
    assert two_sample.placements(x, rng.normal(size=(150, 4))).mean() == pytest.approx(0.5, abs=0.1)


def test_wasserstein_is_that_of_scipy(pair):
    a, b = pair[0][:, 0], pair[1][:, 0]
    assert simulation.wasserstein(a, b) == pytest.approx(wasserstein_distance(a, b))
    assert simulation.wasserstein(a, a + 3) == pytest.approx(3)


def test_moments_count_zeros():
    X = np.array([[0.0, 2, 0], [0, 4, 1], [0, 0, 2]])
    mean, variance, zeros = simulation.moments(sparse.csr_matrix(X))
    np.testing.assert_allclose(mean, X.mean(axis=0))
    np.testing.assert_allclose(variance, X.var(axis=0, ddof=1))
    np.testing.assert_allclose(zeros, [1, 1 / 3, 1 / 3])


def test_distances_weigh_types_by_their_real_cells():
    logs = sparse.csr_matrix(np.eye(6))
    types = np.array(["a"] * 4 + ["b"] * 2)
    real = simulation.profiles(logs, np.full(6, 10.0), types, ["a", "b"])
    made = simulation.profiles(logs, np.where(types == "a", 10.0, 100.0), types, ["a", "b"])
    found = simulation.distribution_distances(real, made, [4, 2])
    assert found["library"] == pytest.approx(np.log(101 / 11) * 2 / 6)
    assert found["gene_mean"] == 0
    assert np.isnan(simulation.distribution_distances([], [], [])["library"])


def test_correlation_agreement_is_one_for_the_same_genes_and_none_for_constant_cells():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    assert simulation.correlation_agreement(X, 3 * X + 1) == pytest.approx(1)
    assert simulation.correlation_agreement(X, np.tile(X[:1], (50, 1))) == 0


def test_coverage_looks_at_the_type():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(0, 1, (30, 2)), rng.normal(20, 1, (30, 2))])
    types = np.repeat(["a", "b"], 30)
    radius = simulation.ball_radius(real)
    assert simulation.covered(real, real, types, types, radius).mean() == 1
    assert simulation.covered(real, real, types, types[::-1], radius).mean() == 0
    assert simulation.covered(real, real[:30], types, types[:30], radius).tolist() == [1] * 30 + [0] * 30


def test_copies_are_told_from_cells_that_are_merely_near():
    rng = np.random.default_rng(0)
    train, held = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    ratio = simulation.nearness(held, train)[1]
    near = simulation.copied(simulation.nearness(rng.normal(0, 0.3, (100, 5)), train)[1], ratio)[0]
    same = simulation.copied(simulation.nearness(train[:50], train)[1], ratio)[0]
    noisy = simulation.copied(simulation.nearness(train + rng.normal(0, 0.02, train.shape), train)[1], ratio)[0]
    assert same.all()
    assert noisy.mean() > 0.8
    assert near.mean() < 0.05
