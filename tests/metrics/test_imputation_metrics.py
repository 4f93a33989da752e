"""Metrics of imputation against SciPy, and the reliability that their ceilings come from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.spatial.distance import jensenshannon

from sceval.metrics import imputation as m
from sceval.metrics.imputation_clusters import average_bio


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    y = rng.poisson(2.0, (60, 7)).astype(float)
    return y * 0.4 + rng.random((60, 7)), y


def test_pearson_and_spearman_are_scipys_and_a_mask_leaves_entries_out(pair):
    x, y = pair
    inside = np.random.default_rng(1).random(y.shape) < 0.5
    r, s, masked = m.pearson_columns(x, y), m.spearman_columns(x, y), m.pearson_columns(x, y, inside)
    for c in range(7):
        w = inside[:, c]
        assert r[c] == pytest.approx(stats.pearsonr(x[:, c], y[:, c])[0])
        assert s[c] == pytest.approx(stats.spearmanr(x[:, c], y[:, c])[0])
        assert masked[c] == pytest.approx(stats.pearsonr(x[w, c], y[w, c])[0])
    assert m.pearson_p(r, 60)[3] == pytest.approx(stats.pearsonr(x[:, 3], y[:, 3])[1])


def test_replicates_are_the_correlations_of_the_rows_that_they_keep(pair):
    x, y = pair
    keep = np.random.default_rng(2).random((4, 60)) < 0.8
    table = m.pearson_columns(x, y, None, keep)
    assert table[2] == pytest.approx(m.pearson_columns(x[keep[2]], y[keep[2]]))


def test_a_constant_prediction_has_no_correlation_and_a_constant_truth_none_that_is_defined(pair):
    x, y = pair
    assert (m.pearson_columns(np.full_like(x, 3.3), y) == 0).all()
    assert np.isnan(m.pearson_columns(x, np.full_like(y, 2.0))).all()


def test_spatial_measures_have_their_ends(pair):
    x, y = pair
    p, q = x / x.sum(axis=0), y / y.sum(axis=0)
    assert m.js_columns(x, y)[1] == pytest.approx(jensenshannon(p[:, 1], q[:, 1], base=2) ** 2)
    assert m.js_columns(y, y) == pytest.approx(0, abs=1e-12)
    assert m.ssim_columns(3 * y, y) == pytest.approx(1)  # any scale
    assert m.rmse_z(y + 5, y) == pytest.approx(0)
    assert m.rmse_z(np.ones_like(y), y) == pytest.approx(1)  # saying nothing is rewarded
    assert m.rmse_z(-y, y) == pytest.approx(2)
    z = stats.zscore(x[:, 0]) - stats.zscore(y[:, 0])
    assert m.rmse_z(x, y)[0] == pytest.approx(np.sqrt((z**2).mean()))


def test_poisson_likelihood_is_scipys_above_the_floor():
    assert m.poisson_nll(np.array([0.7]), np.array([3]))[0] == pytest.approx(-stats.poisson.logpmf(3, 0.7))
    assert m.poisson_nll(np.array([0.0]), np.array([1]))[0] == pytest.approx(-np.log(m.RATE_FLOOR) + m.RATE_FLOOR)


def test_halves_tell_the_reliability_and_its_root_is_what_the_true_rate_reaches():
    rng = np.random.default_rng(3)
    rate = rng.gamma(0.8, 2.5, (4000, 3))
    y = rng.poisson(rate)
    halves = m.split_half(sparse.csr_matrix(y.astype(float)), 3).mean(axis=0)
    ceiling = np.sqrt(m.spearman_brown(halves))
    assert m.pearson_columns(rate, y.astype(float)) == pytest.approx(ceiling, abs=0.03)


def test_drawn_rates_are_as_good_as_the_true_ones_and_no_better():
    rng = np.random.default_rng(4)
    rate = rng.gamma(0.8, 2.5, (4000, 3))
    y = rng.poisson(rate).astype(float)
    drawn = m.posterior_rates(y, np.broadcast_to(y.mean(axis=0), y.shape), rng)
    assert m.pearson_columns(drawn, y) == pytest.approx(m.pearson_columns(rate, y), abs=0.03)
    assert ((drawn - y) ** 2).mean() == pytest.approx(y.mean(), rel=0.06)  # the Poisson floor
    assert m.poisson_nll(drawn, y).mean() == pytest.approx(m.poisson_nll(rate, y).mean(), rel=0.02)


def test_average_bio_knows_types_and_gives_alike_cells_one_cluster():
    rng = np.random.default_rng(5)
    labels = np.repeat(np.array(["a", "b", None], object), [40, 40, 5])
    mean = np.ones((85, 30))
    mean[:40, :15] = mean[40:, 15:] = 12
    assert average_bio(rng.poisson(mean), labels) > 0.8
    assert average_bio(np.ones((85, 30)), labels) == pytest.approx(0.5 / 3)
    assert np.isnan(average_bio(mean, np.full(85, "a", object)))
