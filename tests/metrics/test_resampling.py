from __future__ import annotations

import numpy as np
import pytest
from scipy.special import stdtrit

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
    assert plan.masks.shape == (0, 4)
    assert np.isnan(rs.standard_error([], plan.scale))


def test_interval_covers():
    rng = np.random.default_rng(2)
    inside = 0
    for seed in range(200):
        x = rng.normal(size=60)
        plan = rs.replicates(60, seed=seed)
        se = rs.standard_error([x[mask].mean() for mask in plan.masks], plan.scale)
        inside += abs(x.mean()) <= stdtrit(plan.df, 0.975) * se
    assert 180 <= inside <= 199


def test_minimum_detectable_difference():
    # Large samples: 1.96 + 0.8416.
    assert rs.minimum_detectable_difference(1.0, 10**6) == pytest.approx(2.8016, abs=1e-3)
    assert rs.minimum_detectable_difference(0.1, 4) > rs.minimum_detectable_difference(0.1, 29)


def test_undefined_replicates():
    assert np.isnan(rs.standard_error([np.nan, np.nan, 1.0], 2.0))
    assert rs.standard_error([np.nan, 1.0, 2.0, 3.0], 1.0) == 1.0


def test_replicate_table(mixture):
    from sceval.metrics.integration import IntegrationScorer

    X, pre, batch, label = mixture
    table = rs.replicate_table(IntegrationScorer(X, batch, label, pre), rs.replicates(240, batch, R=5))
    assert table["s_final"].shape == (5,)
    assert table["s_final"].std() > 0
