"""Unseen types and the rejection curve, against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sceval.metrics.rejection import IDS, best_values, doubts, rejection_curve, rejection_values


def test_doubt_ranks_abstentions_above_every_label():
    found = doubts(np.array(["a", "unassigned", "b"], object), np.array([0.1, 0.9, 1.0]))
    assert found.tolist() == pytest.approx([0.9, 1.1, 0.0])


def test_the_curve_is_the_mean_over_all_orders_of_equal_doubts():
    right, doubt = np.array([1, 0, 1, 0, 1]), np.array([0.2, 0.2, 0.1, 0.5, 0.5])
    curves = []
    for order in itertools.permutations(range(5)):
        if np.all(np.diff(doubt[list(order)]) >= 0):
            curves.append(np.cumsum(right[list(order)]) / np.arange(1, 6))
    np.testing.assert_allclose(rejection_curve(right, doubt), np.mean(curves, axis=0))


def test_the_best_that_is_possible_and_a_constant_doubt():
    unseen = np.array([False] * 6 + [True] * 4)
    best = best_values(unseen)
    assert best["unseen_auroc"] == best["unseen_auprc"] == 1.0
    assert best["accuracy_at_50"] == 1.0
    assert best["accuracy_at_90"] == pytest.approx(6 / 9)
    assert best["rejection_auc"] == pytest.approx(np.mean([min(1, 6 / m) for m in range(1, 11)]))
    flat = rejection_values(~unseen, np.ones(10), unseen)
    assert flat["unseen_auroc"] == 0.5
    assert flat["unseen_auprc"] == pytest.approx(0.4)
    assert flat["accuracy_at_50"] == pytest.approx(0.6)


def test_undefined_values_are_nan():
    nothing = rejection_values(np.empty(0, bool), np.empty(0), np.empty(0, bool))
    assert set(nothing) == set(IDS)
    assert np.isnan(list(nothing.values())).all()
    seen = rejection_values(np.ones(3, bool), np.arange(3.0), np.zeros(3, bool))
    assert np.isnan(seen["unseen_auroc"])
    assert seen["rejection_auc"] == 1.0
