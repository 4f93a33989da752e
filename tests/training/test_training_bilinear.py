"""Bilinear ridge regression of perturbation effects."""

from __future__ import annotations

import numpy as np
import pytest

from sceval.training.bilinear import NoVectors, _left_out_error, predict_effects, summed, whitened

RNG = np.random.default_rng(0)
GENES = {f"g{i}": i for i in range(40)}
X = RNG.standard_normal((40, 4))
EFFECT = whitened(X, 4) @ RNG.standard_normal((4, 60))
BASE = RNG.standard_normal(60)
UNITS = [(f"g{i}", "all") for i in range(30)]
SHIFTS = BASE + EFFECT[:30] + RNG.normal(0, 0.05, (30, 60))


def test_a_planted_bilinear_effect_is_found_for_unseen_genes_and_for_combinations():
    targets = [("g35", "all"), ("g36+g37", "all")]
    made, chosen, told = predict_effects(X, GENES, UNITS, SHIFTS, targets, "control")
    assert np.abs(made[0] - (BASE + EFFECT[35])).mean() < 0.2
    assert np.abs(made[1] - (2 * BASE + EFFECT[36] + EFFECT[37])).mean() < 0.4
    assert chosen["training_perturbations"] == 30
    assert not told


def test_vectors_that_know_nothing_leave_the_mean():
    noise = RNG.standard_normal((40, 4))
    made, chosen, _ = predict_effects(noise, GENES, UNITS, SHIFTS, [("g35", "all")], "control")
    assert chosen["penalty"] >= 100
    assert np.abs(made[0] - SHIFTS.mean(axis=0)).mean() < 0.5 * np.abs(EFFECT[35]).mean()


def test_the_error_of_leaving_out_is_that_of_fitting_again():
    P, Y = X[:12], SHIFTS[:12]
    errors = []
    for row in range(12):
        keep = np.arange(12) != row
        W = np.linalg.solve(P[keep].T @ P[keep] + 2.0 * np.eye(4), P[keep].T @ Y[keep])
        errors.append(np.mean((Y[row] - P[row] @ W) ** 2))
    assert _left_out_error(P, Y, 2.0) == pytest.approx(np.mean(errors))


def test_targets_without_a_vector_get_the_mean_and_too_many_of_them_are_refused():
    made, _, told = predict_effects(X, GENES, UNITS, SHIFTS, [("g35", "all"), ("unknown", "all")], "control")
    assert made[1] == pytest.approx(SHIFTS.mean(axis=0))
    assert "1 targets have no vector" in told[0]
    with pytest.raises(NoVectors, match="0 of 1 targets"):
        predict_effects(X, GENES, UNITS, SHIFTS, [("unknown", "all")], "control")
    assert np.isnan(summed(X, GENES, [("g1+unknown", "all")], "control")).all()
