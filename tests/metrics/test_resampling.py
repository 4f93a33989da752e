from __future__ import annotations

import numpy as np
import pytest

from sceval.metrics import resampling as rs


def test_leave_one_group_out_is_the_classical_jackknife():
    groups = np.repeat(list("abcdef"), [3, 4, 5, 3, 4, 5])
    plan = rs.replicates(24, groups, unit="donor")
    assert plan.unit == "donor"
    assert plan.n_units == 6
    assert plan.masks.shape == (6, 24)
    assert plan.masks[2].sum() == 24 - 5
    x = np.random.default_rng(0).normal(size=24)
    values = [x[mask].mean() for mask in plan.masks]
    by_hand = np.sqrt(5 / 6 * np.sum((values - np.mean(values)) ** 2))
    assert rs.standard_error(values, plan.scale) == pytest.approx(by_hand)


def test_subsamples_of_cells_give_the_error_of_a_mean():
    x = np.random.default_rng(1).normal(size=400)
    plan = rs.replicates(400, groups=np.arange(400) % 3, R=2000)
    assert plan.unit == "cell"
    assert (plan.masks.sum(axis=1) == 320).all()
    assert plan.scale == 2
    se = rs.standard_error([x[mask].mean() for mask in plan.masks], plan.scale)
    assert se == pytest.approx(x.std(ddof=1) / np.sqrt(400), rel=0.06)


def test_many_groups_are_subsampled_whole():
    groups = np.arange(200) // 4
    plan = rs.replicates(200, groups, R=20)
    assert plan.n_units == 50
    for mask in plan.masks:
        assert set(np.bincount(groups[mask], minlength=50)) <= {0, 4}


def test_same_plan_twice_and_another_seed():
    assert np.array_equal(rs.replicates(50, seed=3).masks, rs.replicates(50, seed=3).masks)
    assert not np.array_equal(rs.replicates(50, seed=3).masks, rs.replicates(50, seed=4).masks)


def test_too_few_cells_give_no_interval():
    plan = rs.replicates(4)
    assert len(plan.masks) == 0
    assert np.isnan(rs.interval(0.5, [], plan.scale, plan.df)).all()


def test_interval_is_cut_to_the_range_only():
    values = [0.9, 0.95, 1.0, 0.97, 0.93]
    low, high = rs.interval(0.95, values, 2.0, 4, (0, 1))
    half = 2.7764451052 * 2 * np.std(values, ddof=1)
    assert high == 1
    assert low == pytest.approx(0.95 - half)


def test_interval_covers():
    rng = np.random.default_rng(2)
    inside = 0
    for seed in range(200):
        x = rng.normal(size=60)
        plan = rs.replicates(60, seed=seed)
        low, high = rs.interval(x.mean(), [x[mask].mean() for mask in plan.masks], plan.scale, plan.df)
        inside += low <= 0 <= high
    assert 180 <= inside <= 199


def test_pairing_takes_out_what_is_shared():
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    y = x + 0.1 + rng.normal(size=300) * 0.05
    plan = rs.replicates(300)
    a, b = ([v[mask].mean() for mask in plan.masks] for v in (y, x))
    found = rs.paired_difference(y.mean(), a, x.mean(), b, plan.scale, plan.df)
    assert found.low < 0.1 < found.high
    assert found.p < 1e-6
    assert found.se < 0.2 * rs.pooled_se(rs.standard_error(a, plan.scale), rs.standard_error(b, plan.scale))
    with pytest.raises(ValueError, match="same replicates"):
        rs.paired_difference(0, a, 0, b[:-1], plan.scale, plan.df)


def test_identical_runs_do_not_differ():
    found = rs.paired_difference(0.5, [0.4, 0.6, 0.5], 0.5, [0.4, 0.6, 0.5], 2.0, 2)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_minimum_detectable_difference():
    # Large samples: 1.96 + 0.8416.
    assert rs.minimum_detectable_difference(1.0, 10**6) == pytest.approx(2.8016, abs=1e-3)
    assert rs.minimum_detectable_difference(0.1, 4) > rs.minimum_detectable_difference(0.1, 29)


def test_bootstrap_weights_draw_whole_groups():
    groups = np.repeat(np.arange(6), 5)
    weights = rs.bootstrap_weights(30, 50, groups=groups)
    assert (weights.reshape(50, 6, 5) == weights.reshape(50, 6, 5)[:, :, :1]).all()
    assert (rs.bootstrap_weights(30, 50).sum(axis=1) == 30).all()


def test_undefined_replicates():
    assert np.isnan(rs.standard_error([np.nan, np.nan, 1.0], 2.0))
    assert rs.standard_error([np.nan, 1.0, 2.0, 3.0], 1.0) == 1.0


def test_replicate_table(mixture):
    from sceval.metrics.integration import IntegrationScorer

    X, pre, batch, label = mixture
    table = rs.replicate_table(IntegrationScorer(X, batch, label, pre), rs.replicates(240, batch, R=5))
    assert table["s_final"].shape == (5,)
    assert table["s_final"].std() > 0
