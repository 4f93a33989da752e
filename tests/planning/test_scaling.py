"""Anchors by rule and the two-anchor scale, against numbers made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sceval.planning.scaling import Anchor, anchors_of, demotion, scaled_interval

NEGATIVE, ORACLE, BASELINE = "negative_control", "positive_control", "baseline"


def _table(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["variant", "kind", "metric", "value"])


def _measured(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["metric", "anchor", "value"])


NONE = _measured()
TABLE = _table(
    ("random-scratch", NEGATIVE, "nmi", 0.02),
    ("random-scratch", NEGATIVE, "nmi", 0.04),
    ("depth-scratch", NEGATIVE, "nmi", 0.10),
    ("depth-scratch", NEGATIVE, "nmi", 0.20),
    ("oracle-scratch", ORACLE, "nmi", 0.90),
    ("oracle-scratch", ORACLE, "nmi", 1.00),
    ("pca-scratch", BASELINE, "nmi", 0.60),
    ("random-scratch", NEGATIVE, "s_final", 0.40),
    ("depth-scratch", NEGATIVE, "s_final", 0.30),
    ("random-scratch", NEGATIVE, "s_bio", 0.01),
    ("depth-scratch", NEGATIVE, "s_bio", 0.15),
    ("oracle-scratch", ORACLE, "s_bio", 0.80),
    ("random-scratch", NEGATIVE, "s_batch", 0.90),
    ("depth-scratch", NEGATIVE, "s_batch", 0.50),
    ("oracle-scratch", ORACLE, "s_batch", 0.95),
)


def test_the_best_blind_control_by_its_mean_is_anchor_0_and_the_oracle_anchor_1():
    zero, one = anchors_of("nmi", TABLE, NONE)
    assert (zero.source, one.source) == ("depth-scratch", "oracle-scratch")
    assert zero.mean == pytest.approx(0.15)
    assert zero.sd == pytest.approx(0.1 / np.sqrt(2))
    assert one.mean == pytest.approx(0.95)


def test_composites_use_the_control_with_the_best_s_final():
    zero, one = anchors_of("s_bio", TABLE, NONE)
    assert (zero.source, zero.mean) == ("random-scratch", 0.01)  # although another has the better s_bio
    assert one.mean == 0.80
    assert anchors_of("s_batch", TABLE, NONE)[0].mean == 0.90
    assert anchors_of("s_final", TABLE, NONE)[0].mean == 0.40


def test_batch_removal_is_anchored_by_what_the_task_measured():
    measured = _measured(
        ("asw_batch", "unintegrated", 0.5), ("asw_batch", "permuted", 0.8), ("asw_batch", "permuted", 0.9)
    )
    zero, one = anchors_of("asw_batch", TABLE, measured)
    assert (zero.mean, zero.sd, zero.source) == (0.5, 0.0, "unintegrated")
    assert (one.mean, one.source) == (pytest.approx(0.85), "permuted")
    assert np.isnan(anchors_of("asw_batch", TABLE, NONE)[0].mean)


def test_annotation_rules():
    table = _table(
        ("majority-scratch", NEGATIVE, "macro_f1", 0.05),
        ("log_total-scratch", NEGATIVE, "macro_f1", 0.20),
        ("majority-scratch", NEGATIVE, "log_loss", 1.9),
        ("log_total-scratch", NEGATIVE, "log_loss", 1.5),
        ("majority-scratch", NEGATIVE, "ece", 0.01),
    )
    zero, one = anchors_of("macro_f1", table, NONE)
    assert (zero.source, zero.mean, one.mean, one.sd) == ("log_total-scratch", 0.20, 1.0, 0.0)
    zero, one = anchors_of("log_loss", table, NONE)
    assert (zero.source, zero.mean, one.mean) == ("majority-scratch", 1.9, 0.0)  # the prior, not the best
    zero, one = anchors_of("ece", table, NONE)
    assert np.isnan(zero.mean)
    assert np.isnan(one.mean)


def test_a_control_without_a_value_is_passed_over():
    table = _table(("a-x", NEGATIVE, "nmi", np.nan), ("b-x", NEGATIVE, "nmi", 0.1), ("b-x", NEGATIVE, "nmi", np.nan))
    zero, one = anchors_of("nmi", table, NONE)
    assert (zero.source, zero.mean) == ("b-x", 0.1)
    assert np.isnan(one.mean)
    assert np.isnan(scaled_interval(0.5, 0.1, zero, one, 2.0)).all()


def test_scaled_is_linear_and_never_clipped():
    zero, one = Anchor(np.array([0.2]), "0"), Anchor(np.array([0.7]), "1")
    assert scaled_interval(0.2, 0.0, zero, one, 2.0)[0] == 0.0
    assert scaled_interval(0.7, 0.0, zero, one, 2.0)[0] == pytest.approx(1.0)
    assert scaled_interval(0.95, 0.0, zero, one, 2.0)[0] == pytest.approx(1.5)
    assert scaled_interval(0.0, 0.0, zero, one, 2.0)[0] == pytest.approx(-0.4)
    s, low, high = scaled_interval(0.45, 0.05, zero, one, 2.0)
    assert (s, low, high) == (pytest.approx(0.5), pytest.approx(0.3), pytest.approx(0.7))
    loss_zero, loss_one = Anchor(np.array([2.0]), "prior"), Anchor(np.zeros(1), "0")
    s, low, high = scaled_interval(0.5, 0.1, loss_zero, loss_one, 2.0)  # low is good: the scale turns with it
    assert (s, low, high) == (pytest.approx(0.75), pytest.approx(0.65), pytest.approx(0.85))


def test_the_interval_of_scaled_agrees_with_monte_carlo():
    rng = np.random.default_rng(0)
    zero, one = Anchor(rng.normal(0.2, 0.03, 5), "0"), Anchor(rng.normal(0.9, 0.04, 5), "1")
    value, se = 0.75, 0.03
    _s, low, high = scaled_interval(value, se, zero, one, 1.96)
    draws = rng.normal(value, se, 200_000)
    a0 = rng.normal(zero.mean, zero.sd / np.sqrt(5), 200_000)
    a1 = rng.normal(one.mean, one.sd / np.sqrt(5), 200_000)
    scaled = (draws - a0) / (a1 - a0)
    np.testing.assert_allclose((high - low) / (2 * 1.96), scaled.std(), rtol=0.03)


def test_anchor_values_that_are_undefined_do_not_count_as_seeds():
    three = Anchor(np.array([0.1, 0.2, 0.3, np.nan, np.nan]), "x")
    same = Anchor(np.array([0.1, 0.2, 0.3]), "x")
    one = Anchor(np.ones(1), "1")
    assert scaled_interval(0.5, 0.0, three, one, 2.0) == pytest.approx(scaled_interval(0.5, 0.0, same, one, 2.0))


def test_a_blind_control_above_the_best_baseline_demotes_a_metric():
    assert demotion("nmi", TABLE) == ""
    table = _table(
        ("cheat-x", NEGATIVE, "bras", 0.97), ("pca-x", BASELINE, "bras", 0.8), ("b-x", BASELINE, "bras", 0.7)
    )
    assert demotion("bras", table) == "demoted: the blind control cheat-x scores 0.970, the best baseline 0.800"
    low = _table(("cheat-x", NEGATIVE, "log_loss", 0.2), ("pca-x", BASELINE, "log_loss", 0.8))
    assert demotion("log_loss", low)
    assert not demotion("log_loss", low.assign(value=[0.8, 0.2]))
    final = _table(("cheat-x", NEGATIVE, "s_final", 0.9), ("pca-x", BASELINE, "s_final", 0.5))
    assert demotion("s_final", final) == ""  # stays, as the study's number
    assert demotion("bras", table[table["kind"] == NEGATIVE]) == ""  # nothing to compare with
