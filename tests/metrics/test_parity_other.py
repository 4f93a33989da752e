"""FOSCTTM, energy distance, MMD, perturbations and networks against the public fixture."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from metric_parity import PARITY

from sceval.metrics import discrepancy, foscttm, network, perturbation


def read(name):
    with (PARITY / name).open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("case", ["good", "poor", "ties"])
def test_foscttm(parity, case):
    expected = parity["foscttm"][case]
    with np.load(PARITY / "foscttm.npz") as data:
        x, y, forth, back = (data[f"{case}__{key}"] for key in ("x", "y", "count_closer_x", "count_closer_y"))
    counts = foscttm.closer_counts(x, y)
    assert np.array_equal(counts, forth)
    assert np.array_equal(foscttm.closer_counts(y, x), back)
    both = np.stack([forth, back])
    value, cells = foscttm.foscttm(x, y)
    assert value == pytest.approx(expected["foscttm_n_minus_1"], abs=1e-12)
    assert value * (len(x) - 1) / len(x) == pytest.approx(expected["foscttm_n"], abs=1e-12)
    assert np.quantile(cells, 0.95) == pytest.approx(expected["q95_cell_n_minus_1"], abs=1e-12)
    assert np.median(cells) == pytest.approx(expected["median_cell_n_minus_1"], abs=1e-12)
    assert foscttm.match_at_k(both, 1) == pytest.approx(expected["match_at_1"], abs=1e-12)
    assert foscttm.match_at_k(both, 5) == pytest.approx(expected["match_at_5"], abs=1e-12)


@pytest.mark.parametrize("case", ["near", "far", "same_distribution"])
def test_energy_and_mmd(parity, case):
    expected = parity["energy_mmd"][case]
    with np.load(PARITY / "energy_mmd.npz") as data:
        x, y = data[f"{case}__x"], data[f"{case}__y"]
    median = discrepancy.median_squared_distance(x, y)
    assert median == pytest.approx(expected["median_sq_distance_pooled"], abs=1e-9)
    gammas = {"1_over_dim": 1 / x.shape[1], "1_over_median": 1 / median, "1_over_2median": 1 / (2 * median)}
    for form, unbiased in (("U", True), ("V", False)):
        for name, squared in (("euclidean", False), ("sqeuclidean", True)):
            found = discrepancy.energy_distance(x, y, squared, unbiased)
            assert found == pytest.approx(expected[f"energy_{name}_{form}"], abs=1e-9)
        for name, gamma in gammas.items():
            wanted = expected[f"mmd2_rbf_gamma_{name}_{form}"]
            assert discrepancy.mmd2(x, y, gamma, unbiased) == pytest.approx(wanted, abs=1e-9)
        wanted = expected[f"mmd2_rbf_mean_of_5_{form}"]
        assert discrepancy.mmd2_mean_of_scales(x, y, unbiased) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("case", ["dense", "sparse_ties", "few_nonzero"])
def test_networks(parity, case):
    expected = parity["grn"][case]
    truth = [(row["Gene1"], row["Gene2"]) for row in read("grn_truth.csv")]
    rows = read(f"grn_edges_{case}.csv")
    edges, weights = [(row["Gene1"], row["Gene2"]) for row in rows], [float(row["EdgeWeight"]) for row in rows]
    found = network.network_scores(truth, edges, weights)
    assert found.auprc == pytest.approx(expected["AUPRC"], abs=1e-9)
    assert found.auroc == pytest.approx(expected["AUROC"], abs=1e-9)
    assert found.average_precision == pytest.approx(expected["average_precision_not_beeline"], abs=1e-9)
    assert found.early_precision == pytest.approx(expected["early_precision"], abs=1e-9)
    assert found.epr == pytest.approx(expected["EPR"], abs=1e-9)
    assert (found.n_true, found.n_possible) == (expected["n_true_edges"], expected["n_possible_edges"])
    restricted = network.network_scores(truth, edges, weights, regulators_only=True)
    assert restricted.epr == pytest.approx(expected["EPR_tf_edges"], abs=1e-9)
    assert restricted.early_precision == pytest.approx(expected["early_precision_tf_edges"], abs=1e-9)
    assert restricted.n_possible == expected["n_possible_edges_tf_edges"]


def test_perturbation(parity):
    expected = parity["perturbation"]
    with np.load(PARITY / "perturbation.npz") as data:
        X, condition, rows, pred = (data[key] for key in ("X", "condition", "test_rows", "pred"))
    control = X[condition == "ctrl"]
    per = {}
    for name, wanted in expected["per_perturbation"].items():
        true, predicted = X[condition == name], pred[condition[rows] == name].mean(axis=0)
        top = perturbation.rank_genes(true, control)
        assert top[:20].tolist() == expected["top20_de_ranked"][name]
        kept = top[np.isin(top, perturbation.not_dropped_out(true, control))]
        assert kept[:20].tolist() == expected["top20_non_dropout_ranked"][name]
        per[name] = found = perturbation.perturbation_scores(true, predicted, control)
        for key in ("mse", "mse_de", "pearson", "pearson_de"):
            assert found[key] == pytest.approx(wanted[key], abs=1e-5), (name, key)
        for key in ("pearson_delta", "pearson_delta_de"):
            assert found[key] == pytest.approx(expected["deeper"][name][key], abs=1e-5), (name, key)
        for key in ("mse", "pearson", "pearson_delta"):
            wanted = expected["non_dropout"][name][f"{key}_top20_de_non_dropout"]
            assert found[f"{key}_nd"] == pytest.approx(wanted, abs=1e-5), (name, key)
    for key, wanted in expected["overall"].items():
        assert np.mean([found[key] for found in per.values()]) == pytest.approx(wanted, abs=1e-5)
