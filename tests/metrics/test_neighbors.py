from __future__ import annotations

import numpy as np
import pytest

from sceval.metrics.neighbors import knn


def brute_force(X, k):
    X = np.asarray(X, dtype=np.float64)
    squared = ((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, -1)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return order, np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=1), 0))


@pytest.mark.parametrize("shape", [(40, 3), (500, 1), (1500, 5)])
def test_equals_brute_force(shape):
    X = np.random.default_rng(0).normal(size=shape)
    indices, distances = knn(X, 20)
    wanted, apart = brute_force(X, 20)
    assert np.array_equal(indices, wanted)
    assert np.allclose(distances, apart, atol=1e-12)


def test_grouped_search_of_many_cells_and_far_offset():
    rng = np.random.default_rng(1)
    # A large common offset and tiny differences: float32 alone would rank these wrongly.
    X = 1e4 + rng.normal(size=(3000, 4)) * 1e-2
    rows = np.array([0, 17, 2999])
    indices, distances = knn(X, 30, rows)
    for row, mine, far in zip(rows, indices, distances, strict=True):
        exact = np.sqrt(((X - X[row]) ** 2).sum(axis=1))
        assert mine[0] == row
        assert np.allclose(far, np.sort(exact)[:30], atol=1e-12)


def test_an_outlier_does_not_blur_the_others():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2600, 3))
    X[0] = 1e7
    indices, distances = knn(X, 10)
    exact = np.sqrt(((X - X[1300]) ** 2).sum(axis=1))
    assert indices[1300].tolist() == np.argsort(exact, kind="stable")[:10].tolist()
    assert np.isfinite(distances).all()


def test_copies_are_at_distance_zero_and_ties_go_by_row_number():
    X = np.array([[0.0], [1.0], [1.0], [-1.0], [1.0]])
    indices, distances = knn(X, 5)
    assert indices[0].tolist() == [0, 1, 2, 3, 4]
    assert indices[2].tolist() == [2, 1, 4, 0, 3]
    assert distances[2].tolist() == [0, 0, 0, 1, 2]


def test_constant_embedding():
    indices, distances = knn(np.full((2500, 3), 0.1), 15)
    assert (distances == 0).all()
    assert (indices[:, 0] == np.arange(2500)).all()
    assert indices[100, 1:].tolist() == list(range(14))


def test_fewer_cells_than_neighbours():
    indices, _ = knn(np.arange(4.0), 90)
    assert indices.shape == (4, 4)


def test_not_finite_is_refused_with_its_place():
    X = np.zeros((5, 2))
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="row 3, column 1"):
        knn(X, 2)
