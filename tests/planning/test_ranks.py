from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sceval.planning.ranks import Pool, differences, ranks, t_quantile

R = 30


def _pool(values, noise: np.ndarray | None = None, df: float = 29.0) -> Pool:
    """One variant: values of its runs, and replicates `value + noise` in each of them."""
    values = np.atleast_1d(np.asarray(values, float))
    rows = pd.DataFrame({"value": values, "df": df})
    if noise is None:
        return Pool(rows, None)
    found = [pd.DataFrame({"replicate": range(len(noise)), "value": value + noise}) for value in values]
    return Pool(rows, pd.concat(found))


@pytest.fixture
def noise():
    """Return `noise(seed)`: replicates with a standard deviation of 0.05 exactly."""

    def make(seed: int) -> np.ndarray:
        draw = np.random.default_rng(seed).normal(size=R)
        return 0.05 * (draw - draw.mean()) / draw.std(ddof=1)

    return make


def test_the_interval_is_the_t_interval_of_the_replicates(noise):
    pool = _pool(0.5, noise(0))
    assert pool.se == pytest.approx(0.05)
    low, high = pool.interval((0.0, 1.0))
    assert (low, high) == (pytest.approx(0.5 - 2.0452 * 0.05, abs=1e-4), pytest.approx(0.5 + 2.0452 * 0.05, abs=1e-4))
    assert _pool(0.98, noise(0)).interval((0.0, 1.0))[1] == 1.0  # cut to the range of the metric
    assert np.isnan(_pool(0.5).interval((0.0, 1.0))).all()
    assert np.isnan(t_quantile(0))


def test_seeds_add_the_variance_of_their_mean(noise):
    pool = _pool([0.4, 0.5, 0.6], noise(0))
    assert pool.value == pytest.approx(0.5)
    assert pool.se == pytest.approx(np.sqrt(0.05**2 + 0.01 / 3))


def test_paired_differences_are_narrower_than_unpaired_ones(noise):
    shared = noise(1)
    a, b = _pool(0.60, shared), _pool(0.55, shared + 0.1 * noise(2))
    value, low, high, se = a.minus(b)
    assert value == pytest.approx(0.05)
    assert se < 0.2 * np.hypot(a.se, b.se)
    assert low > 0 < high
    unpaired = _pool(0.60, noise(1)).minus(_pool(0.55, noise(3)))
    assert unpaired[1] < 0
    assert b.minus(a)[0] == pytest.approx(-0.05)
    assert b.minus(a)[1] == pytest.approx(-high)


def test_a_clear_order_has_ranks_without_doubt(noise):
    pools = {name: _pool(value, noise(0)) for name, value in (("low", 0.2), ("high", 0.8), ("mid", 0.5))}
    assert ranks(pools, 1) == {"high": (1, 1, 1), "mid": (2, 2, 2), "low": (3, 3, 3)}
    assert ranks(pools, -1) == {"low": (1, 1, 1), "mid": (2, 2, 2), "high": (3, 3, 3)}


def test_what_cannot_be_told_apart_shares_a_range_of_ranks(noise):
    pools = {"a": _pool(0.81, noise(1)), "b": _pool(0.80, noise(2)), "c": _pool(0.2, noise(3))}
    found = ranks(pools, 1)
    assert found["a"] == (1, 1, 2)
    assert found["b"] == (2, 1, 2)
    assert found["c"] == (3, 3, 3)
    same = ranks({"a": _pool(0.5, noise(1)), "b": _pool(0.5, noise(1))}, 1)
    assert same == {"a": (1, 1, 2), "b": (1, 1, 2)}  # a tie is shown as a tie


def test_a_single_variant_and_undefined_values(noise):
    assert ranks({"a": _pool(0.5, noise(1))}, 1) == {"a": (1, 1, 1)}
    found = ranks({"a": _pool(0.5, noise(1)), "b": _pool(np.nan, noise(2))}, 1)
    assert found == {"a": (1, 1, 1)}
    assert ranks({}, 1) == {}
    partly = _pool([0.5, np.nan], None)
    assert partly.value == 0.5


def test_without_intervals_nothing_is_beyond_doubt(noise):
    pools = {"a": _pool(0.9), "b": _pool(0.5), "c": _pool(0.1)}
    assert ranks(pools, 1) == {"a": (1, 1, 3), "b": (2, 1, 3), "c": (3, 1, 3)}


def test_differences_come_in_both_directions_with_cost_and_what_can_be_detected(noise):
    pools = {"a": _pool(0.6, noise(1)), "b": _pool(0.5, noise(2)), "c": _pool(0.5)}
    rows, mdd = differences(pools, {"a": 40.0, "b": 1.0})
    table = {(row["a"], row["b"]): row for row in rows}
    assert len(rows) == 6
    assert table["a", "b"]["difference"] == pytest.approx(0.1)
    assert table["a", "b"]["cost_ratio"] == 40.0
    assert np.isnan(table["a", "c"]["cost_ratio"])
    assert np.isnan(table["a", "c"]["low"])
    _, _, _, se = pools["a"].minus(pools["b"])
    assert mdd == pytest.approx((2.0452 + 0.8542) * se, rel=1e-3)  # t at 97.5 % and at 80 %, 29 degrees of freedom
    assert np.isnan(differences({"a": pools["a"]}, {})[1])
