from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples as sk_silhouette

from sceval.metrics import pcr, silhouette


def data(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6)) + 3, rng.integers(0, 4, n), rng.integers(0, 3, n)


def test_label_silhouette_against_scikit_learn():
    X, labels, _ = data()
    sums = silhouette.group_distance_sums(X, labels)
    assert np.allclose(silhouette.silhouette_samples(sums, labels), sk_silhouette(X, labels), atol=1e-10)


def test_batch_silhouette_against_scikit_learn():
    X, labels, batches = data(seed=1)
    sums = silhouette.group_distance_sums(X, labels * 3 + batches)
    found = silhouette.batch_silhouettes(np.pad(sums, ((0, 0), (0, 12 - sums.shape[1]))), labels, batches)
    for label in range(4):
        rows = labels == label
        assert np.allclose(found[rows], 1 - np.abs(sk_silhouette(X[rows], batches[rows])), atol=1e-10)


def test_bras_by_the_definition():
    X, labels, batches = data(n=90, seed=2)
    found = silhouette.bras_samples(X, labels, batches)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    apart = 1 - unit @ unit.T
    for i in range(90):
        mine = labels == labels[i]
        own = mine & (batches == batches[i])
        if own.sum() == 1:
            continue
        a = apart[i, own].sum() / (own.sum() - 1)
        b = apart[i, mine & ~own].mean()
        assert found[i] == pytest.approx(1 - abs((b - a) / max(a, b)), abs=1e-9)


def test_constant_embedding_has_no_silhouette():
    _, labels, batches = data()
    X = np.full((300, 3), 0.3)
    sums = silhouette.group_distance_sums(X, labels)
    assert (sums == 0).all()
    assert (silhouette.silhouette_samples(sums, labels) == 0).all()
    assert (silhouette.bras_samples(X, labels, batches) == 1).all()


def test_labels_of_one_batch_are_left_out():
    labels, batches = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1])
    found = silhouette.bras_samples(np.random.default_rng(0).normal(size=(6, 2)), labels, batches)
    assert np.isnan(found[:3]).all()
    assert np.isfinite(found[3:]).all()


def test_pcr_by_hand_and_under_rotation():
    X = np.array([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [12.0, 0.0]])
    batches = np.array([0, 0, 1, 1])
    # Total sum of squares 104, inside batches 4.
    assert pcr.batch_r2(X, batches) == pytest.approx(100 / 104)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert pcr.batch_r2(X @ turn + 5, batches) == pytest.approx(100 / 104)


def test_pcr_undefined_and_null():
    assert np.isnan(pcr.batch_r2(np.full((4, 2), 0.1), np.array([0, 0, 1, 1])))
    assert np.isnan(pcr.pcr_comparison(0.0, 0.0))
    assert pcr.pcr_comparison(0.2, 0.5) == 0
    X, _, batches = data(n=600, seed=3)
    null = pcr.permuted_r2(X, batches)
    # Expected by chance: (B - 1) / (n - 1).
    assert null.mean() == pytest.approx(2 / 599, rel=0.15)
    assert null.min() <= pcr.batch_r2(X, batches) <= 2 * null.max()
