"""The parts of the imputation baselines: SVD, rank, thresholds, diffusion, alignment and mapping."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.data.preprocess import log_cp10k
from sceval.models.imputation_baselines import alra, smoothing, spots


def test_randomized_svd_is_the_exact_one_on_low_rank():
    rng = np.random.default_rng(0)
    A = rng.random((40, 5)) @ rng.random((5, 30))
    U, s, V = alra.randomized_svd(sparse.csr_matrix(A), 5, 0)
    assert s == pytest.approx(np.linalg.svd(A, compute_uv=False)[:5])
    assert (U * s) @ V == pytest.approx(A)


def test_the_rank_is_the_last_gap_that_stands_out():
    s = np.concatenate([[90.0, 60.0, 40.0], 10 - 0.05 * np.arange(97)])
    s[3:] += np.random.default_rng(0).normal(0, 0.002, 97)
    assert alra.choose_rank(np.sort(s)[::-1]) == 3
    assert alra.choose_rank(np.linspace(5, 1, 100)) == 1


def test_alra_keeps_what_was_measured_and_leaves_true_zeros():
    rng = np.random.default_rng(1)
    mean = np.zeros((120, 40))
    mean[:60, :20] = mean[60:, 20:] = rng.gamma(5, 1, (120 // 2, 20))
    X = sparse.csr_matrix(rng.poisson(mean).astype(float))
    A = log_cp10k(X)
    low, rank = alra.complete(A, 2, 0)
    assert rank == 2
    assert (low[A.toarray() > 0] > 0).all()
    assert (low[:60, 20:] == 0).mean() > 0.95
    made, _ = alra.alra(X, 2, 0)
    assert made.sum(axis=1) == pytest.approx(np.asarray(X.sum(axis=1)).ravel())


def test_smoothing_keeps_the_totals_and_one_neighbor_changes_nothing():
    X = sparse.csr_matrix(np.random.default_rng(2).poisson(2.0, (50, 30)).astype(float))
    total = np.asarray(X.sum(axis=1)).ravel()
    assert smoothing.knn_mean(X, 5, 1, 0) == pytest.approx(X.toarray())
    for made in (smoothing.knn_mean(X, 5, 9, 0), smoothing.diffusion(X, 5, 9, 3, 0)):
        assert made.sum(axis=1) == pytest.approx(total)
        assert made.std(axis=0).mean() < X.toarray().std(axis=0).mean()


def test_mixtures_of_reference_cells_are_mapped_and_aligned():
    rng = np.random.default_rng(3)
    kinds = rng.gamma(0.3, 10, (3, 40))
    reference = sparse.csr_matrix(rng.poisson(kinds[np.arange(90) % 3]).astype(float))
    weights = rng.dirichlet([0.3] * 3, 80)
    truth = weights @ (kinds / kinds.sum(axis=1, keepdims=True))
    counts = sparse.csr_matrix(rng.poisson(400 * truth).astype(float))
    shown = np.arange(30)
    for made in (
        spots.mapping(reference, counts, shown, 60),
        spots.spage(reference, counts, shown, 3, 30),
        spots.nearest_cells(reference, counts, shown, 3, 30),
    ):
        r = [np.corrcoef(made[:, c], truth[:, c])[0, 1] for c in range(30, 40)]
        assert np.median(r) > 0.8
