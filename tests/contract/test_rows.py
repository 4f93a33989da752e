"""Rows that stay in the file: the same as those in memory, read in blocks, checked in blocks."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy import sparse

from helpers import make_view
from sceval import contract
from sceval.contract import h5ad, rows
from sceval.contract.rows import CsrRows


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes a view and gives back its path."""

    def write(view):
        path = tmp_path / "view.h5ad"
        h5ad.write(path, view)
        return path

    return write


def same(found, expected):
    assert sparse.issparse(found)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert (found != expected).nnz == 0


PICKS = [
    slice(3, 9),
    slice(None),
    np.arange(5, 12),
    np.array([7, 2, 3, 4, 4, 0]),
    np.array([], int),
    np.arange(20) % 3 == 0,
    slice(18, 99),
]


@pytest.mark.parametrize("pick", PICKS)
def test_rows_are_those_of_the_matrix_in_memory(stored, pick):
    view = make_view(n=20, g=12)
    lazy = CsrRows(stored(view), "X")
    assert lazy.shape == (20, 12)
    assert lazy.nnz == view.X.nnz
    same(lazy[pick], view.X[pick])


def test_columns_may_be_taken_in_another_order_and_again(stored):
    view = make_view(n=20, g=12)
    order, mask = np.random.default_rng(0).permutation(12), np.arange(12) % 2 == 0
    lazy = CsrRows(stored(view), "X")[:, order]
    assert isinstance(lazy, CsrRows)
    same(lazy[:], view.X[:, order])
    same(lazy[:, mask][:], view.X[:, order][:, mask])
    same(lazy[3:5, mask], view.X[:, order][3:5][:, mask])


def test_blocks_cover_every_row_once(stored):
    view = make_view(n=20, g=12)
    blocks = list(CsrRows(stored(view), "X").blocks(7))
    assert [start for start, _ in blocks] == [0, 7, 14]
    same(sparse.vstack([block for _, block in blocks], format="csr"), view.X)


def test_only_a_large_matrix_stays_in_its_file(stored):
    view = make_view(n=20, g=12)
    path = stored(view)
    assert isinstance(contract.read("view", path, lazy_above=view.X.nnz - 1).X, CsrRows)
    for above in (view.X.nnz, None):
        assert sparse.issparse(contract.read("view", path, lazy_above=above).X)
    assert h5ad.read(path, slots=["uns"], lazy_above=0).X is None


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "1 values that are NaN or infinite, first at row 17"), (-1, "first -1 at row 17"), (0.5, "fractional")],
)
def test_a_bad_value_is_found_in_its_block_and_told_with_its_row(stored, monkeypatch, value, message):
    view = make_view(n=20, g=12)
    view.X.data[view.X.indptr[17]] = value
    monkeypatch.setattr(rows, "BLOCK", 4)
    path = stored(view)
    with pytest.raises(contract.ContractError, match=message) as error:
        contract.read("view", path, lazy_above=0)
    assert "later rows than 19 were not looked at" in str(error.value)
    with pytest.raises(contract.ContractError, match=message):
        contract.read("view", path)


def test_row_pointers_that_do_not_fit_are_told(stored):
    path = stored(make_view(n=20, g=12))
    with h5py.File(path, "r+") as handle:
        handle["X/indptr"][5] = 10**9
    with pytest.raises(contract.ContractError, match="row pointers that do not fit 20 rows"):
        contract.read("view", path, lazy_above=0)
