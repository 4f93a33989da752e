"""PDS and centroid accuracy, and scores with controls of their own."""

from __future__ import annotations

import numpy as np
import pytest

from sceval.metrics import perturbation
from sceval.metrics.discrimination import discrimination

RNG = np.random.default_rng(0)
TRUE = RNG.standard_normal((7, 30))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_truth_is_told_and_one_answer_for_all_is_chance(metric):
    assert np.allclose(discrimination(TRUE, TRUE, metric=metric)[0], 1.0)
    same = np.tile(RNG.standard_normal(30), (7, 1))
    units, _ = discrimination(same, TRUE, metric=metric)
    assert units.mean() == pytest.approx(0.5)  # exactly: every truth is at every rank once
    assert np.allclose(discrimination(np.zeros((7, 30)), TRUE)[0], 0.5)


def test_ranks_are_those_of_a_plain_count():
    made = TRUE + RNG.standard_normal(TRUE.shape) * 2
    units, _ = discrimination(made, TRUE, metric="euclidean")
    for row in range(7):
        d = np.linalg.norm(made[row] - TRUE, axis=1)
        assert units[row] == pytest.approx((d > d[row]).sum() / 6)


def test_only_perturbations_of_one_context_are_compared_and_replicates_leave_out_both_sides():
    made = TRUE + RNG.standard_normal(TRUE.shape)
    groups = np.array(["a", "a", "a", "b", "b", "b", "c"])
    masks = np.array([[1, 1, 0, 1, 1, 1, 1], [1, 1, 1, 0, 0, 1, 1]], bool)
    units, means = discrimination(made, TRUE, groups, masks)
    assert np.isnan(units[6])  # alone in its context
    assert np.allclose(units[:3], discrimination(made[:3], TRUE[:3])[0])
    for mask, mean in zip(masks, means, strict=True):
        assert mean == pytest.approx(np.nanmean(discrimination(made[mask], TRUE[mask], groups[mask])[0]))


def test_blocks_change_nothing(monkeypatch):
    made = TRUE + RNG.standard_normal(TRUE.shape)
    whole = discrimination(made, TRUE)[0]
    monkeypatch.setattr("sceval.metrics.discrimination._BLOCK", 2)
    assert np.array_equal(discrimination(made, TRUE)[0], whole)


def test_with_one_control_on_both_sides_the_scores_are_those_of_gears():
    control, true = RNG.poisson(2, (20, 40)) * 1.0, RNG.poisson(3, (15, 40)) * 1.0
    guess = RNG.random(40) * 3
    base = control.mean(axis=0)
    sides = [(x.mean(axis=0), x.var(axis=0, ddof=1), len(x)) for x in (true, control)]
    top = perturbation.top_genes(*sides)
    found = perturbation.shift_scores(true.mean(axis=0), guess, base, base, *top)
    wanted = perturbation.perturbation_scores(true, guess, control)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_a_shared_control_looks_like_agreement_and_disjoint_ones_do_not():
    rng = np.random.default_rng(1)
    shared, apart = [], []
    for _ in range(20):
        a, b, one, two = (rng.normal(0, 1, 200) for _ in range(4))  # nothing but noise anywhere
        top = np.arange(20), np.arange(20)
        shared.append(perturbation.shift_scores(a, b, one, one, *top)["pearson_delta"])
        apart.append(perturbation.shift_scores(a, b, one, two, *top)["pearson_delta"])
    assert np.mean(shared) > 0.4
    assert abs(np.mean(apart)) < 0.05
