"""The shared head: scikit-learn's logistic regression, without its import; no label of a test cell is read."""

from __future__ import annotations

import numpy as np
import pytest

from sceval.contract.results import write_annotation
from sceval.contract.sample import take
from sceval.tasks.probe import PENALTIES, probe
from sceval.training.softmax import fit_softmax


@pytest.fixture(scope="module")
def embedding():
    rng = np.random.default_rng(0)
    codes = np.arange(240) % 4
    centers = rng.normal(0, 1.5, (4, 6))
    return centers[codes] + rng.normal(size=(240, 6)) * np.array([1, 1, 1, 10, 0.1, 1]), codes


@pytest.mark.parametrize("C", [0.01, 1.0, 10.0])
def test_the_head_equals_scikit_learn(embedding, C):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    X, codes = embedding
    scaled = StandardScaler().fit(X[:180])
    reference = LogisticRegression(C=C, tol=1e-8, max_iter=10_000).fit(scaled.transform(X[:180]), codes[:180])
    expected = reference.predict_proba(scaled.transform(X[180:]))
    found = fit_softmax(X[:180], codes[:180], 4, C).probability(X[180:])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_the_gradient_is_the_slope_of_the_loss(embedding):
    """A minimum found by a wrong gradient would not be one: moving the weights makes the penalized loss larger."""
    X, codes = embedding
    head = fit_softmax(X, codes, 4, 0.5)

    def loss(weights, intercept):
        logits = (X - head.mean) / head.scale @ weights + intercept
        logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -logp[np.arange(len(codes)), codes].sum() + (weights**2).sum() / (2 * 0.5)

    best = loss(head.weights, head.intercept)
    rng = np.random.default_rng(1)
    for _ in range(20):
        step = 0.05 * rng.normal(size=head.weights.shape)
        assert loss(head.weights + step, head.intercept + 0.05 * rng.normal(size=4)) > best


def test_a_constant_column_and_a_class_without_cells_do_no_harm(embedding):
    X, codes = embedding
    head = fit_softmax(np.column_stack([X, np.full(len(X), 7.0)]), codes, 5)
    probability = head.probability(np.column_stack([X, np.full(len(X), 7.0)]))
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert probability[:, 4].max() < 0.05
    far = head.probability(np.full((1, 7), 1e6))  # no overflow far away
    assert np.isfinite(far).all()


def _view(make_view):
    view = make_view(120, 30, types=3)
    codes = np.arange(120) % 3
    return view, np.eye(3)[codes] * 3 + np.random.default_rng(0).normal(size=(120, 3))


def test_the_probe_learns_and_answers_for_test_cells_alone(make_view, tmp_path):
    view, X = _view(make_view)
    result, chosen = probe(view, X)
    assert np.array_equal(result.rows, np.flatnonzero(view.obs["part"] == "test"))
    assert result.classes.tolist() == ["type0", "type1", "type2"]
    truth = np.array([f"type{i % 3}" for i in result.rows])
    assert np.mean(result.classes[result.probability.argmax(axis=1)] == truth) > 0.8
    assert chosen["C"] in PENALTIES
    write_annotation(tmp_path / "output.h5ad", view, result)


def test_noise_gets_a_strong_penalty_and_signal_a_weak_one(make_view):
    view, X = _view(make_view)
    noise = np.random.default_rng(3).normal(size=(120, 60))
    assert probe(view, noise)[1]["C"] <= 0.01
    assert probe(view, X)[1]["C"] >= 0.1


def test_the_probe_does_not_depend_on_the_order_of_the_cells(make_view):
    view, X = _view(make_view)
    order = np.random.default_rng(5).permutation(120)
    result, chosen = probe(view, X)
    turned, chosen_turned = probe(take(view, order), X[order])
    assert chosen == chosen_turned
    place = {row: i for i, row in enumerate(result.rows)}
    back = [place[order[row]] for row in turned.rows]
    np.testing.assert_allclose(turned.probability, result.probability[back], atol=1e-6)
    again, _ = probe(view, X)
    assert np.array_equal(again.probability, result.probability)


def test_cells_without_a_label_and_a_view_without_validation_are_taken(make_view):
    view, X = _view(make_view)
    train = np.flatnonzero(view.obs["part"] == "train")
    view.obs["cell_type"][train[:10]] = None
    view.obs["part"][view.obs["part"] == "validation"] = "train"
    result, chosen = probe(view, X)
    assert chosen == {"C": 1.0}
    assert None not in result.classes.tolist()
    assert len(result.classes) == 3
