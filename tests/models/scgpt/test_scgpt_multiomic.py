from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.models.scgpt.checkpoint import save_checkpoint
from sceval.models.scgpt.multiomic import choose_features, feature_names, integrate_modalities

TINY = {"d_model": 8, "n_heads": 2, "n_layers": 1, "epochs": 2, "batch_size": 8, "n_hvg": 12, "lr": 0.01}


@pytest.fixture
def integrate(small, session_of):
    """Twenty genes, six proteins and four peaks; a third of the cells each has RNA, all, or ATAC alone."""
    made = small(n_cells=30)
    made.counts = sp.csr_matrix(made.counts.toarray() + made.rng.integers(1, 4, (30, 30)).astype(np.float32))
    kinds = np.array(["rna"] * 20 + ["protein"] * 6 + ["peak"] * 4, object)
    rows = np.array(["rna", "paired", "atac"], object)[np.arange(30) % 3]

    def call(order=None, columns=None, folder=None, **params):
        order = np.arange(30) if order is None else order
        columns = np.arange(30) if columns is None else columns
        session = session_of(
            *("integrate-modalities", "scratch" if folder is None else "finetune", made.counts[order][:, columns]),
            *([made.symbols[i] for i in columns], [made.cells[i] for i in order]),
            weights=folder,
            **{**TINY, **params},
        )
        batches = np.array([f"b{i % 2}" for i in order], object)
        return integrate_modalities(session, kinds[columns], rows[order], batches), session

    call.made = made
    return call


def test_proteins_have_tokens_of_their_own_and_gene_activities_those_of_genes():
    kinds = np.array(["rna", "gene_activity", "protein", "peak"], object)
    assert feature_names(["CD4", "CD4", "CD4", "chr1:1-9"], kinds) == ["CD4", "CD4", "p_CD4", "chr1:1-9"]


def test_variable_features_are_chosen_modality_by_modality(small):
    made = small()
    kinds = np.array(["rna"] * 20 + ["peak"] * 10, object)
    rows = np.array(["paired"] * 20 + ["rna"] * 4)
    chosen = choose_features(made.counts, kinds, rows, 7, 3)
    assert (chosen < 20).sum() == 7
    assert (chosen >= 20).sum() == 3
    without = made.counts.toarray()
    without[:20, 20:25] = 0  # measured in cells that are said not to measure them
    assert not np.isin(choose_features(sp.csr_matrix(without), kinds, rows, 0, 0), np.arange(20, 25)).any()
    assert len(choose_features(made.counts, kinds, rows, 0, 0)) == 30


def test_vectors_do_not_depend_on_the_order_of_cells(integrate):
    first, session = integrate()
    assert first.shape == (30, 8)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert session.facts["modalities"] == ["peak", "protein", "rna"]
    assert len(session.facts["batches"]) == 6
    order = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(integrate(order)[0], first[order], atol=1e-5)


def test_a_cell_shows_only_what_it_measures(integrate):
    """Counts of a modality that a row does not measure are noise of the file and change nothing of its vector."""
    first, _ = integrate(epochs=1, lr=1e-12, n_hvg=0)
    counts = integrate.made.counts.toarray()
    rna_only = np.arange(30) % 3 == 0
    counts[np.ix_(rna_only, np.arange(20, 26))] += 3
    integrate.made.counts = sp.csr_matrix(counts)
    second, _ = integrate(epochs=1, lr=1e-12, n_hvg=0)
    np.testing.assert_allclose(second, first, atol=1e-5)


def test_rows_of_known_genes_are_taken_over_and_nothing_else(integrate, tmp_path):
    save_checkpoint(tmp_path, integrate.made.model, integrate.made.vocabulary)
    X, session = integrate(folder=tmp_path, epochs=1, n_hvg=0, max_length=9)
    assert X.shape == (30, 16)
    assert session.facts["genes_transferred"] == 24
    assert session.facts["features"] == 30
