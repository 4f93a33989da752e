from __future__ import annotations

import numpy as np
import pytest

from helpers import make_view, reorder
from sceval.models.controls import annotations, embeddings
from sceval.models.reference import reference
from sceval.models.request import Request


def _request(view, seed=0):
    return Request(view, "scratch", {}, seed, "cpu")


def test_random_numbers_are_standard_normal_and_uncorrelated():
    X = embeddings.gaussians(np.array([f"c{i}" for i in range(20_000)]), 4, 7)
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(X.T), np.eye(4), atol=0.04)
    assert np.isfinite(X).all()


@pytest.mark.parametrize("control", ["random", "log_total", "untrained"])
def test_a_cell_is_embedded_alike_whoever_stands_beside_it(control):
    view = make_view()
    rows = np.arange(5, 25)
    whole = embeddings.CONTROLS[control](_request(view))
    part = embeddings.CONTROLS[control](_request(reorder(view, rows)))
    np.testing.assert_allclose(part, whole[rows], atol=1e-9)


def test_the_untrained_network_does_not_mind_the_order_of_genes():
    view = make_view()
    genes = np.random.default_rng(0).permutation(view.n_vars)
    turned = embeddings.untrained(_request(reorder(view, np.arange(view.n_obs), genes)))
    np.testing.assert_allclose(turned, embeddings.untrained(_request(view)), atol=1e-9)


def test_the_untrained_network_is_not_linear():
    view = make_view()
    X = embeddings.untrained(_request(view))
    assert np.linalg.matrix_rank(X - X.mean(axis=0)) > view.n_vars


def test_log_total_by_hand():
    view = make_view(n=20)
    X = embeddings.log_total(_request(view))
    np.testing.assert_allclose(X[3], np.log1p([view.X[3].sum(), view.X[3].count_nonzero()]), rtol=1e-6)


def test_one_hot_tells_the_batch_and_nothing_else():
    view = make_view(batches=3)
    X = embeddings.batch_onehot(_request(view))
    assert X.sum(axis=1).tolist() == [1.0] * view.n_obs
    assert [f"batch{i}" for i in X.argmax(axis=1)] == view.obs["batch"].tolist()


def test_majority_predicts_the_most_frequent_class_with_the_class_frequencies():
    view = make_view(n=90)
    known = np.flatnonzero(view.obs["part"] != "test")
    view.obs["cell_type"][known] = ["b"] * (len(known) - 5) + ["a"] * 5
    request = _request(view)
    out = annotations.majority(request, reference(request))
    np.testing.assert_allclose(out.probability[0], [5 / len(known), 1 - 5 / len(known)])
    assert out.prediction is None  # the argmax of the frequencies is the majority
    assert out.classes[out.probability.argmax(axis=1)].tolist() == ["b"] * len(out.rows)


def test_stratified_random_draws_in_proportion_and_keeps_the_prior_as_probability():
    view = make_view(n=4000, g=5)
    known = np.flatnonzero(view.obs["part"] != "test")
    view.obs["cell_type"][known] = np.where(np.arange(len(known)) % 10 < 7, "b", "a")
    request = _request(view)
    out = annotations.stratified_random(request, reference(request))
    assert abs(np.mean(out.prediction == "b") - 0.7) < 0.04
    np.testing.assert_allclose(out.probability, np.tile([0.3, 0.7], (len(out.rows), 1)))
    other = annotations.stratified_random(_request(view, seed=1), reference(request))
    assert 0.3 < np.mean(other.prediction == out.prediction) < 0.75  # 0.58 by chance


def test_a_drawn_prediction_is_written_with_its_own_probability(call):
    view = make_view(n=200)
    known = np.flatnonzero(view.obs["part"] != "test")
    view.obs["cell_type"][known] = np.where(np.arange(len(known)) % 10 < 7, "b", "a")
    cells = call("controls", "annotate", view, {"control": "stratified_random"}).cells
    drawn_a = cells.obs["prediction"] == "a"
    assert 0 < drawn_a.sum() < cells.n_obs
    np.testing.assert_allclose(cells.obs["confidence"][drawn_a], cells.obsm["probability"][drawn_a, 0])


def test_log_total_regression_learns_what_depth_tells():
    view = make_view(n=200)
    deep = np.arange(200) % 2 == 0
    view.X.data *= np.repeat(np.where(deep, 10, 1), np.diff(view.X.indptr)).astype(np.float32)
    known = view.obs["part"] != "test"
    view.obs["cell_type"][known] = np.where(deep, "deep", "shallow")[known]
    request = _request(view)
    out = annotations.log_total(request, reference(request))
    truth = np.where(deep, "deep", "shallow")[out.rows]
    assert np.mean(out.classes[out.probability.argmax(axis=1)] == truth) > 0.95
