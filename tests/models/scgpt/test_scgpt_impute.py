from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.models.scgpt.checkpoint import UnfitCheckpoint, save_checkpoint
from sceval.models.scgpt.impute import counts_from_bins, folds_of, predict_counts

TINY = {"d_model": 16, "n_heads": 2, "n_layers": 1, "epochs": 2, "batch_size": 8, "lr": 0.01}


@pytest.fixture
def predict(session_of):
    def call(made, regime="zero_shot", rows=None, columns=None, folder=None, **params):
        order = np.arange(len(made.cells)) if rows is None else rows
        columns = np.arange(made.counts.shape[1]) if columns is None else columns
        symbols = [made.symbols[i] for i in columns]
        session = session_of(
            *("impute", regime, made.counts[order][:, columns], symbols, [made.cells[i] for i in order]),
            weights=folder,
            **{**TINY, **params},
        )
        return predict_counts(session, np.arange(len(order))), session

    return call


def test_bins_become_counts_by_the_cells_own_means():
    own_bins, counts = np.array([10, 10, 20, 50]), np.array([1.0, 3.0, 4.0, 9.0])
    made = counts_from_bins(np.array([-1.0, 0, 5, 10, 15, 50, 99]), own_bins, counts)
    np.testing.assert_allclose(made, [0, 0, 1, 2, 3, 9, 9])


def test_folds_are_equal_and_do_not_depend_on_the_order_of_the_genes():
    ids = np.arange(100, 131)
    fold = folds_of(ids, 4, seed=1)
    assert sorted(np.bincount(fold)) == [7, 8, 8, 8]
    order = np.random.default_rng(0).permutation(31)
    np.testing.assert_array_equal(folds_of(ids[order], 4, seed=1), fold[order])
    assert (folds_of(ids, 4, seed=2) != fold).any()


def test_no_prediction_sees_its_own_value(small, predict, tmp_path):
    """Swapping the values of a fold's genes leaves their predicted bins, and so the order of their counts, as it is."""
    made = small(n_cells=6)
    save_checkpoint(tmp_path, made.model, made.vocabulary)
    first, session = predict(made, folder=tmp_path, match_depth=False)
    fold = folds_of(session.token_ids, session.facts["impute_folds"], 0)
    inside = np.flatnonzero(fold == 0)
    counts = made.counts.toarray()
    counts[:, inside] = counts[:, inside[::-1]]
    made.counts = sp.csr_matrix(counts)
    second, _ = predict(made, folder=tmp_path, match_depth=False)
    np.testing.assert_allclose(second.X[:, inside], first.X[:, inside], atol=1e-4)
    outside = fold != 0
    assert np.abs(second.X[:, outside] - first.X[:, outside]).max() > 1e-4


def test_a_prediction_depends_on_its_own_cell_alone(small, predict, tmp_path):
    made = small()
    save_checkpoint(tmp_path, made.model, made.vocabulary)
    first, _ = predict(made, folder=tmp_path)
    rows, columns = np.random.default_rng(1).permutation(24)[:9], np.random.default_rng(2).permutation(30)
    second, _ = predict(made, folder=tmp_path, rows=rows, columns=columns, batch_size=2)
    np.testing.assert_allclose(second.X, first.X[rows][:, columns], atol=1e-3)
    assert (first.X >= 0).all()
    np.testing.assert_allclose(first.X.sum(1), np.asarray(made.counts.sum(1)).ravel(), rtol=1e-4)


def test_long_cells_are_cut_and_cells_without_genes_have_no_prediction(small, predict, tmp_path):
    made = small()
    made.counts = made.counts.tolil()
    made.counts[4] = 0
    made.counts = made.counts.tocsr()
    save_checkpoint(tmp_path, made.model, made.vocabulary)
    made_of, session = predict(made, folder=tmp_path, max_length=10)
    assert session.facts["impute_folds"] == 6
    assert np.flatnonzero(~made_of.known).tolist() == [4]
    assert not made_of.X[4].any()


@pytest.mark.parametrize("reconstruction", ["mse", "cross_entropy"])
def test_training_learns_which_genes_are_expressed(small, predict, reconstruction):
    """Two kinds of cells with opposite genes: hidden genes of a cell's own kind are predicted higher."""
    made = small(n_cells=60)
    kind = np.arange(60) % 2
    own = np.arange(30)[None, :] % 2 == kind[:, None]
    made.counts = sp.csr_matrix(made.rng.poisson(np.where(own, 6.0, 0.1)).astype(np.float32))
    result, session = predict(made, "scratch", epochs=30, reconstruction=reconstruction)
    assert session.facts["decoders"] == "decoder and MVC"
    assert result.X[own].mean() > 2 * result.X[~own].mean()


def test_fine_tuning_starts_from_a_checkpoint_and_zero_shot_needs_its_decoder(small, predict, tmp_path):
    made = small()
    save_checkpoint(tmp_path / "full", made.model, made.vocabulary)
    result, session = predict(made, "finetune", folder=tmp_path / "full", epochs=1)
    assert np.isfinite(result.X).all()
    assert session.facts["train_cells"] == 22
    bare = small(decoder="none", mvc=False)
    save_checkpoint(tmp_path / "bare", bare.model, bare.vocabulary)
    with pytest.raises(UnfitCheckpoint, match="no expression decoder"):
        predict(bare, folder=tmp_path / "bare")
    half = small(mvc=False)
    save_checkpoint(tmp_path / "half", half.model, half.vocabulary)
    _, session = predict(half, folder=tmp_path / "half")
    assert session.facts["decoders"] == "decoder"
