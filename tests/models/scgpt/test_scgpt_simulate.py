from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.models.scgpt.simulate import Wanted, simulate_cells

TINY = {"d_model": 16, "n_heads": 2, "n_layers": 1, "epochs": 1, "batch_size": 8, "lr": 0.01, "simulate_steps": 3}


@pytest.fixture
def simulate(small, session_of):
    """Two types with opposite genes, in two batches of which the second is eight times as deep."""
    made = small(n_cells=60)
    types, batches = np.arange(60) % 2, np.arange(60) // 2 % 2
    own = np.arange(30)[None, :] % 2 == types[:, None]
    rate = np.where(own, 4.0, 0.2) * np.where(batches, 8.0, 1.0)[:, None]
    made.counts = sp.csr_matrix(made.rng.poisson(rate).astype(np.float32))

    def call(wanted, rows=None, seed=0, learn=None, **params):
        rows = np.arange(60) if rows is None else rows
        cells = [made.cells[i] for i in rows]
        given = {**TINY, **params}
        session = session_of("simulate", "scratch", made.counts[rows], made.symbols, cells, seed=seed, **given)
        learn = np.arange(60) if learn is None else learn
        return simulate_cells(session, types[rows], batches[rows], learn, wanted).toarray()

    return call


def test_new_cells_are_like_those_of_their_group(simulate):
    X = simulate([Wanted(0, 0, 20), Wanted(1, 1, 20)], epochs=30)
    assert (np.round(X) == X).all()
    assert (X >= 0).all()
    own = np.arange(30) % 2 == 0
    assert X[:20, own].mean() > 2 * X[:20, ~own].mean()
    assert X[20:, ~own].mean() > 2 * X[20:, own].mean()
    assert X[20:].sum(1).mean() > 4 * X[:20].sum(1).mean()
    assert len(np.unique(X[:20], axis=0)) == 20


def test_same_seed_same_cells_in_any_order_and_company(simulate):
    first = simulate([Wanted(0, 0, 5), Wanted(1, 0, 4)])
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(simulate([Wanted(0, 0, 5), Wanted(1, 0, 4)], rows=order), first)
    np.testing.assert_array_equal(simulate([Wanted(0, 0, 2)]), first[:2])
    assert (simulate([Wanted(0, 0, 5), Wanted(1, 0, 4)], seed=1) != first).any()


def test_genes_that_have_no_room_are_drawn_in_more_parts(simulate):
    X = simulate([Wanted(0, 1, 6)], max_length=9)
    assert X.shape == (6, 30)
    assert X.sum() > 0
