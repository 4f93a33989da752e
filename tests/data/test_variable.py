from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import sparse

from sceval.data.preprocess import log_cp10k
from sceval.data.variable import normalized_dispersion, variable_genes


def _normalized(n=200, g=300, seed=0):
    rng = np.random.default_rng(seed)
    X = sparse.csr_matrix(rng.poisson(rng.gamma(0.5, 2.0, g), (n, g)).astype(float))
    out = log_cp10k(X)
    out.data = np.expm1(out.data)
    return out


def test_dispersion_is_standardized_within_bins_of_the_log_mean():
    X = _normalized()
    found = normalized_dispersion(X)
    dense = X.toarray()
    mean, variance = dense.mean(axis=0), dense.var(axis=0, ddof=1)
    usable = mean > 0
    level, dispersion = np.log1p(mean[usable]), np.log(variance[usable] / mean[usable])
    edges = np.linspace(level.min(), level.max(), 21)
    edges[0] -= 1
    edges[-1] += 1
    expected = np.empty(usable.sum())
    for low, high in pairwise(edges):
        here = (level > low) & (level <= high)
        group = dispersion[here]
        expected[here] = (group - group.mean()) / group.std(ddof=1) if here.sum() > 1 else 1.0
    np.testing.assert_allclose(found[usable], expected, atol=1e-8)
    assert np.isneginf(found[~usable]).all()


def test_a_planted_variable_gene_is_found_and_silent_genes_never_are():
    rng = np.random.default_rng(2)
    X = rng.poisson(np.linspace(1, 8, 400), (100, 400)).astype(float)
    X[:, 7] = np.where(np.arange(100) % 10 == 0, 40, 0)
    X[:, 9] = 0
    log_values = log_cp10k(sparse.csr_matrix(X))
    assert 7 in variable_genes(log_values, 5)
    every = variable_genes(log_values, 1000)
    assert 9 not in every
    assert list(every) == sorted(every)
    assert len(every) == 399


def test_no_gene_at_all():
    assert len(variable_genes(sparse.csr_matrix((5, 4)), 3)) == 0
