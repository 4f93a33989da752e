from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.models.scgpt.binning import bin_rows, bin_values


def reference_bins(row, n_bins):
    """The rule, written the slow and obvious way for one cell."""
    edges = np.quantile(row, np.linspace(0, 1, n_bins - 1))
    return np.digitize(row, edges), np.digitize(row, edges, right=True), edges


def test_equals_official_bins(parity):
    z = parity.expected("binning")
    rows = sp.csr_matrix(z["rows"])
    n_bins = int(z["n_bins"])
    binned, edges = bin_rows(rows, n_bins)
    np.testing.assert_array_equal(binned.toarray(), z["bins_one"])
    np.testing.assert_array_equal(edges, z["edges"])
    uniforms = np.random.RandomState(int(z["bins_both_np_seed"])).rand(rows.nnz)
    np.testing.assert_array_equal(uniforms, z["bins_both_uniforms"][z["rows"] != 0])
    both, _ = bin_rows(rows, n_bins, rule="both", uniforms=uniforms)
    np.testing.assert_array_equal(both.toarray(), z["bins_both"])
    for u in (0.0, 0.5, 1 - 1e-12):
        drawn, _ = bin_rows(rows, n_bins, rule="both", uniforms=np.full(rows.nnz, u))
        assert (drawn.toarray() >= z["bins_both_lo"]).all()
        assert (drawn.toarray() <= z["bins_both_hi"]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_bins", [3, 11, 51])
def test_equals_one_cell_at_a_time(dtype, n_bins):
    rng = np.random.default_rng(1)
    rows = [rng.integers(1, 5, 40), rng.gamma(1, 5, 99), [], rng.gamma(2, 9, 148), np.ones(7), [3], rng.gamma(1, 1, 2)]
    rows = [np.asarray(r, dtype=dtype) for r in rows]
    offsets = np.cumsum([0, *map(len, rows)])
    uniforms = rng.random(offsets[-1])
    one, edges = bin_values(np.concatenate(rows), offsets, n_bins)
    both, _ = bin_values(np.concatenate(rows), offsets, n_bins, rule="both", uniforms=uniforms)
    for i, row in enumerate(rows):
        mine = slice(offsets[i], offsets[i + 1])
        if not len(row):
            assert np.isnan(edges[i]).all()
            continue
        upper, lower, expected_edges = reference_bins(row, n_bins)
        np.testing.assert_array_equal(edges[i], expected_edges)
        np.testing.assert_array_equal(one[mine], upper)
        np.testing.assert_array_equal(both[mine], np.ceil(uniforms[mine] * (lower - upper) + upper))


def test_bins_do_not_change_under_log1p_or_blocks():
    rng = np.random.default_rng(2)
    counts = sp.csr_matrix(rng.poisson(1.5, (30, 80)).astype(np.float32))
    binned, _ = bin_rows(counts)
    logged = counts.copy()
    logged.data = np.log1p(logged.data * 7.5)
    np.testing.assert_array_equal(bin_rows(logged)[0].toarray(), binned.toarray())
    np.testing.assert_array_equal(bin_rows(counts, rows_per_block=7)[0].toarray(), binned.toarray())


def test_explicit_zeros_stay_zero_and_the_input_is_left_alone():
    matrix = sp.csr_matrix((np.array([0.0, 3.0, 5.0]), ([0, 0, 0], [0, 1, 2])), shape=(1, 3))
    assert bin_rows(matrix)[0].toarray().tolist() == [[0, 1, 50]]
    assert matrix.nnz == 3


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_refuses_values_that_cannot_be_binned(bad):
    with pytest.raises(ValueError, match="non-negative"):
        bin_values(np.array([1.0, bad]), np.array([0, 2]))


def test_refuses_unknown_rule_and_missing_uniforms():
    with pytest.raises(ValueError, match="unknown binning rule 'two'"):
        bin_values(np.ones(2), np.array([0, 2]), rule="two")
    with pytest.raises(ValueError, match="uniform"):
        bin_values(np.ones(2), np.array([0, 2]), rule="both")
