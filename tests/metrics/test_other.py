"""Small cases by hand for the metrics of the other tasks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from sceval.metrics import discrepancy, foscttm, network, perturbation


def test_foscttm_of_a_match_and_of_a_constant():
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert foscttm.foscttm(x, x)[0] == 0
    # Ties are not closer: a constant embedding gets 0, which is why it is judged beside match@k and a guard.
    assert foscttm.foscttm(np.ones((5, 2)), np.ones((5, 2)))[0] == 0
    with pytest.raises(ValueError, match="same shape"):
        foscttm.foscttm(x, x[:-1])


def test_foscttm_of_noise_is_one_half():
    rng = np.random.default_rng(1)
    assert foscttm.foscttm(rng.normal(size=(400, 4)), rng.normal(size=(400, 4)))[0] == pytest.approx(0.5, abs=0.04)


def test_energy_distance_by_hand():
    x, y = np.array([[0.0], [2.0]]), np.array([[5.0], [6.0]])
    # Across: 5, 6, 3, 4; inside: 2 and 1.
    assert discrepancy.energy_distance(x, y) == pytest.approx(2 * 4.5 - 2 - 1)
    assert discrepancy.energy_distance(x, y, unbiased=False) == pytest.approx(2 * 4.5 - 1 - 0.5)
    assert discrepancy.mmd2(x, x, 1.0, unbiased=False) == pytest.approx(0, abs=1e-12)
    assert np.isnan(discrepancy.energy_distance(x[:1], y))
    with pytest.raises(ValueError, match="1 and 2 dimensions"):
        discrepancy.energy_distance(x, np.ones((3, 2)))


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(70, 3)), rng.normal(size=(50, 3)) + 1
    whole = discrepancy.energy_distance(x, y), discrepancy.mmd2(x, y, 0.3)
    monkeypatch.setattr(discrepancy, "_BLOCK", 7)
    assert (discrepancy.energy_distance(x, y), discrepancy.mmd2(x, y, 0.3)) == pytest.approx(whole)


def test_ranking_scores_against_scikit_learn():
    rng = np.random.default_rng(3)
    true, score = rng.random(300) < 0.2, rng.integers(0, 20, 300).astype(float)
    precision, recall, _ = sk.precision_recall_curve(true, score)
    area, average = network.precision_recall(true, score)
    assert area == pytest.approx(sk.auc(recall, precision))
    assert average == pytest.approx(sk.average_precision_score(true, score))
    assert network.auroc(true, score) == pytest.approx(sk.roc_auc_score(true, score))
    assert np.isnan(network.auroc(np.ones(3, bool), np.arange(3.0)))


def test_network_that_is_right():
    truth = [("A", "B"), ("A", "C"), ("A", "A"), ("A", "B")]
    found = network.network_scores(truth, [("A", "B"), ("A", "C"), ("B", "C")], [2.0, -3.0, 0.1])
    assert (found.n_true, found.n_possible) == (2, 6)
    assert found.early_precision == 1
    assert found.epr == pytest.approx(3)
    assert found.auprc == found.auroc == 1


def test_network_without_a_prediction():
    found = network.network_scores([("A", "B")], [("A", "B")], [0.0])
    assert found.early_precision == 0
    assert found.auroc == 0.5


def test_perturbation_of_the_truth_itself():
    rng = np.random.default_rng(4)
    control, true = rng.random((30, 40)), rng.random((20, 40))
    true[:, 7] += 5
    found = perturbation.perturbation_scores(true, true.mean(axis=0), control)
    assert found["mse"] == 0
    assert found["pearson_delta_de"] == pytest.approx(1)
    assert perturbation.rank_genes(true, control)[0] == 7
    # A constant profile has no correlation: 0 as in GEARS.
    assert perturbation.perturbation_scores(true, np.zeros(40), control)["pearson"] == 0


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="one value per gene"):
        perturbation.perturbation_scores(np.ones((3, 4)), np.ones(5), np.ones((3, 4)))
    with pytest.raises(ValueError, match="2 cells on each side"):
        perturbation.rank_genes(np.ones((1, 4)), np.ones((3, 4)))
