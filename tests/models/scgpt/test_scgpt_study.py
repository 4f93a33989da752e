from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.models.scgpt.checkpoint import UnfitCheckpoint, load_checkpoint, save_checkpoint
from sceval.models.scgpt.recipe import resolve
from sceval.models.scgpt.study import annotate_study

TINY = {"d_model": 8, "n_heads": 2, "n_layers": 1, "epochs": 3, "batch_size": 16, "lr": 0.01, "min_gene_counts": 0.0}


@pytest.fixture
def typed(small):
    """Cells of two classes that differ in all their genes."""
    made = small(n_cells=60)
    labels = np.arange(60) % 2
    rate = np.where(np.arange(30)[None, :] % 2 == labels[:, None], 9.0, 0.1)
    made.counts = sp.csr_matrix(made.rng.poisson(rate).astype(np.float32))
    made.labels = np.where(np.arange(60) % 3 == 0, -1, labels)
    made.truth = labels
    return made


@pytest.fixture
def run(typed, session_of):
    def call(folder=None, regime="scratch", batches=None, rows=None, **params):
        rows = np.arange(60) if rows is None else rows
        given = {**TINY, **params, "recipe": "study"}
        cells = [typed.cells[i] for i in rows]
        session = session_of("annotate", regime, typed.counts[rows], typed.symbols, cells, weights=folder, **given)
        batches = None if batches is None else [batches[i] for i in rows]
        return annotate_study(session, typed.labels[rows], 2, batches=batches)

    return call


def test_all_losses_of_the_study_train_and_the_classes_are_learned(typed, run):
    batches = [f"b{i // 2 % 3}" for i in range(60)]
    result = run(batches=batches, epochs=8, batch_size=8, ecs_weight=0.5, d_model=16, cls_weight=50.0)
    assert set(result.history.train[0]) == {"loss", "gep", "gep_nzlp", "gepc", "gepc_nzlp", "ecs", "dab", "cls"}
    query = typed.labels < 0
    assert (result.probability.argmax(1) == typed.truth)[query].mean() > 0.8
    np.testing.assert_allclose(result.probability.sum(1), 1)
    assert result.network.config.n_batches == 3


def test_weights_switch_terms_and_cross_entropy_is_taken(typed, run):
    result = run(zero_prob_weight=0.0, ecs_weight=0.0, mvc_weight=0.0, cce_weight=1.0, reconstruction="cross_entropy")
    assert set(result.history.train[0]) == {"loss", "gep", "cce", "cls"}
    assert result.network.config.n_batches == 0


def test_query_cells_change_nothing_that_is_fitted_and_order_changes_nothing(typed, run):
    first = run()
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(run(rows=order).probability, first.probability[order])
    only = np.flatnonzero((typed.labels >= 0) | (np.arange(60) == 3))
    np.testing.assert_allclose(run(rows=only).probability, first.probability[only], atol=1e-5)


@pytest.mark.parametrize(
    ("regime", "fixed"),
    [("frozen", ("encoder.", "value_encoder.", "transformer_encoder.")), ("frozen_embeddings", ("encoder.",))],
)
def test_what_is_frozen_stays(typed, run, tmp_path, regime, fixed):
    save_checkpoint(tmp_path, typed.model, typed.vocabulary)
    result = run(tmp_path, regime)
    before, after = typed.model.state_dict(), result.network.state_dict()
    for name, value in before.items():
        if name.startswith(fixed):
            torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    assert not torch.equal(after["decoder.fc.0.weight"], before["decoder.fc.0.weight"])


def test_a_trained_model_can_be_kept(typed, run, tmp_path):
    result = run()
    save_checkpoint(tmp_path, result.network, typed.vocabulary)
    again, _, report, _ = load_checkpoint(tmp_path)
    assert report.new == report.left_out == {}
    assert again.config.cls_style == "study"


def test_the_recipe_is_that_of_the_study():
    told = resolve("annotate", "finetune", {"recipe": "study"})
    assert {
        "n_hvg": 2000,
        "mask_ratio": 0.4,
        "epochs": 10,
        "batch_size": 64,
        "ecs_weight": 10.0,
    }.items() <= told.items()
    assert resolve("annotate", "frozen", {"recipe": "study"})["epochs"] == 10


def test_what_cannot_be_is_refused(run, small, tmp_path):
    with pytest.raises(ValueError, match="unknown regime"):
        run(regime="zero_shot")
    other = small(n_batches=2, n_domains=2)
    save_checkpoint(tmp_path, other.model, other.vocabulary)
    with pytest.raises(UnfitCheckpoint, match="DSBN"):
        run(tmp_path, "finetune")
