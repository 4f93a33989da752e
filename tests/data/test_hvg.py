from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.data.hvg import highly_variable_genes, local_quadratic, standardized_variance


def negative_binomial(n=200, g=300, variable=20, seed=0, shift=1.0):
    """Counts in which the first genes vary between two groups of cells; some others by a factor between two batches."""
    rng = np.random.default_rng(seed)
    mean = rng.lognormal(0, 1, g)
    group = (np.arange(n) % 2)[:, None]
    effect = np.where(np.arange(g) < variable, 4.0 * group + 0.2, 1.0)
    effect[np.ix_(np.arange(n) % 4 // 2 == 1, np.arange(100, 115))] *= shift
    return sparse.csr_matrix(rng.poisson(rng.gamma(5, mean * effect / 5, (n, g))).astype(np.float32))


def dense_score(counts, expected_variance):
    """The definition, written on a dense matrix."""
    n = counts.shape[0]
    mean, deviation = counts.mean(0), np.sqrt(expected_variance)
    clipped = np.minimum(counts, mean + deviation * np.sqrt(n))
    return ((clipped - mean) ** 2).sum(0) / ((n - 1) * deviation**2)


def test_score_equals_its_definition_on_a_dense_matrix():
    counts = negative_binomial()
    dense = counts.toarray().astype(float)
    expected = 10 ** local_quadratic(np.log10(dense.mean(0)), np.log10(dense.var(0, ddof=1)))
    np.testing.assert_allclose(standardized_variance(counts), dense_score(dense, expected), rtol=1e-6)


def test_a_quadratic_is_fitted_exactly_and_noise_is_smoothed():
    x = np.random.default_rng(0).uniform(-2, 3, 500)
    y = 1 - 2 * x + 0.5 * x**2
    np.testing.assert_allclose(local_quadratic(x, y), y, atol=2e-3)
    noise = np.random.default_rng(1).normal(size=500)
    assert np.abs(local_quadratic(x, y + noise) - y).mean() < 0.3


def test_planted_variable_genes_are_found():
    chosen = highly_variable_genes(negative_binomial(), 20)
    assert len(chosen) == 20
    assert (np.diff(chosen) > 0).all()
    assert (chosen < 20).sum() >= 18


def test_genes_that_differ_only_between_batches_are_not_chosen():
    shifted = negative_binomial(seed=1, shift=12.0)
    codes = np.arange(200) % 4 // 2
    naive, aware = (highly_variable_genes(shifted, 20, c) for c in (None, codes))
    between = [np.isin(chosen, np.arange(100, 115)).sum() for chosen in (naive, aware)]
    assert between[0] >= 5
    assert between[1] <= 1
    assert (aware < 20).sum() >= 17


def test_order_of_cells_and_constant_genes_change_nothing():
    counts = negative_binomial()
    wide = sparse.hstack([counts, sparse.csr_matrix((200, 3)), sparse.csr_matrix(np.ones((200, 2)))]).tocsr()
    order = np.random.default_rng(2).permutation(200)
    np.testing.assert_array_equal(highly_variable_genes(wide[order], 30), highly_variable_genes(counts, 30))
    assert highly_variable_genes(wide, 1000).max() < 300


@pytest.mark.parametrize("shape", [(1, 5), (3, 1)])
def test_tiny_matrices(shape):
    counts = sparse.csr_matrix(np.arange(np.prod(shape), dtype=float).reshape(shape))
    assert len(highly_variable_genes(counts, 5)) <= shape[1]
