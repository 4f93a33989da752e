from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.data import preprocess
from sceval.data.preprocess import column_moments, fit_pca, log_cp10k, pca


def _counts(n, g, seed=0):
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.0, 1.0, (n, 4)) @ rng.gamma(0.3, 1.0, (4, g))
    return sparse.csr_matrix(rng.poisson(rate).astype(np.float64))


def _reference(X, k):
    dense = X.toarray()
    left, singular, _ = np.linalg.svd(dense - dense.mean(axis=0), full_matrices=False)
    return left[:, :k] * singular[:k], singular[:k] ** 2 / (len(dense) - 1)


def test_log_cp10k_by_hand():
    X = sparse.csr_matrix(np.array([[1, 3, 0], [0, 0, 0]], np.int64))
    out = log_cp10k(X)
    np.testing.assert_allclose(out.toarray(), [[np.log(2501), np.log(7501), 0], [0, 0, 0]])
    assert X.dtype == np.int64  # the input stays as it was
    assert X[0, 1] == 3


def test_column_moments_equal_the_dense_ones():
    X = _counts(30, 12)
    mean, variance = column_moments(X)
    np.testing.assert_allclose(mean, X.toarray().mean(axis=0))
    np.testing.assert_allclose(variance, X.toarray().var(axis=0, ddof=1))


@pytest.mark.parametrize(("n", "g", "exact"), [(60, 25, 3000), (25, 60, 3000), (60, 45, 10), (45, 60, 10)])
def test_pca_equals_the_dense_decomposition_whichever_solver(monkeypatch, n, g, exact):
    monkeypatch.setattr(preprocess, "_EXACT", exact)
    X = log_cp10k(_counts(n, g))
    scores, variance = pca(X, 6, seed=1)
    expected, expected_variance = _reference(X, 6)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-8)
    np.testing.assert_allclose(np.abs(scores), np.abs(expected), atol=1e-7)


def test_pca_keeps_sign_and_values_when_cells_change_places():
    X = log_cp10k(_counts(50, 20))
    order = np.random.default_rng(3).permutation(50)
    np.testing.assert_allclose(pca(X[order], 5)[0], pca(X, 5)[0][order], atol=1e-9)


def test_pca_is_capped_and_says_when_there_is_none():
    scores, variance = pca(_counts(5, 30), 50)
    assert scores.shape == (5, 4)
    assert variance.shape == (4,)
    with pytest.raises(ValueError, match="1 cells x 30 genes"):
        pca(_counts(1, 30), 2)


def test_fitted_components_project_other_cells_as_they_do_their_own():
    X = log_cp10k(_counts(40, 15))
    fitted = fit_pca(X[:30], 4)
    np.testing.assert_allclose(fitted.components.T @ fitted.components, np.eye(4), atol=1e-12)
    expected = (X[30:].toarray() - X[:30].toarray().mean(axis=0)) @ fitted.components
    np.testing.assert_allclose(fitted.transform(X[30:]), expected, atol=1e-10)


def test_cells_without_variance_give_zero_scores():
    scores, variance = pca(sparse.csr_matrix(np.ones((6, 4))), 2)
    np.testing.assert_allclose(scores, 0, atol=1e-9)
    np.testing.assert_allclose(variance, 0, atol=1e-9)
