from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.models.scgpt.checkpoint import UnfitCheckpoint, load_checkpoint, save_checkpoint
from sceval.models.scgpt.regimes import freeze, training_mode
from sceval.models.transformer.annotate import annotate_cells

TINY = {"d_model": 16, "n_heads": 2, "n_layers": 1, "epochs": 4, "batch_size": 8, "lr": 0.01, "n_hvg": 0}


@pytest.fixture
def task(small, session_of, tmp_path):
    """Three classes with marker genes, a checkpoint, and a run."""
    made = small(n_cells=60, decoder="none", mvc=False)
    classes = np.arange(60) % 3
    rate = np.where(np.arange(30)[None, :] % 3 == classes[:, None], 8.0, 0.4)
    made.counts = sp.csr_matrix(made.rng.poisson(rate).astype(np.float32))
    made.truth = classes
    made.labels = np.where(np.arange(60) < 45, classes, -1)
    made.folder = tmp_path / "c"
    save_checkpoint(made.folder, made.model, made.vocabulary)

    def run(regime="scratch", rows=None, seed=0, labels=None, validation=None, **params):
        rows = np.arange(60) if rows is None else rows
        session = session_of(
            *("annotate", regime, made.counts[rows], made.symbols, [made.cells[i] for i in rows]),
            weights=None if regime == "scratch" else made.folder,
            seed=seed,
            **{**TINY, **params},
        )
        chosen = (made.labels if labels is None else labels)[rows]
        result = annotate_cells(session, chosen, 3, validation=validation)
        return SimpleNamespace(**vars(result), vocabulary=session.loaded.vocabulary, session=session)

    made.run = run
    return made


@pytest.mark.parametrize("regime", ["scratch", "finetune", "frozen"])
def test_learns_and_repeats_in_any_order(task, regime):
    options = {"epochs": 25}
    if regime == "frozen":
        # A random backbone keeps little to learn from: freeze one that was trained.
        save_checkpoint(task.folder, task.run("finetune", epochs=15).network, task.vocabulary)
    result = task.run(regime, **options)
    query = task.labels < 0
    assert (result.probability.argmax(1) == task.truth)[query].mean() > 0.8
    np.testing.assert_allclose(result.probability.sum(1), 1)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(task.run(regime, order, **options).probability, result.probability[order])
    assert ("weights_loaded" in result.session.facts) == (regime != "scratch")


@pytest.mark.parametrize(
    ("regime", "params", "expected"),
    [
        ("frozen", {}, set()),
        ("frozen", {"frozen_layers": 1}, {"encoder", "value_encoder"}),
        ("finetune", {}, {"encoder", "value_encoder", "transformer_encoder"}),
        ("frozen_embeddings", {}, {"transformer_encoder"}),
        ("finetune", {"lora_rank": 2}, {"transformer_encoder"}),
    ],
)
def test_what_each_regime_moves(task, small, regime, params, expected):
    one = small(n_cells=2, n_layers=1, decoder="none", mvc=False)
    save_checkpoint(task.folder, one.model, one.vocabulary)
    before = load_checkpoint(task.folder)[0].state_dict()
    after = task.run(regime, epochs=1, **params).network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in moved} == expected
    if params.get("lora_rank"):
        assert moved == {"transformer_encoder.layers.0.self_attn.in_proj_weight"}


def test_the_head_is_the_official_one(task):
    names = [name for name, _ in task.run("frozen", epochs=1).head.named_parameters()]
    assert names[0] == "_decoder.0.weight"
    assert names[-1] == "out_layer.bias"


def test_nothing_is_fitted_on_query_cells(task):
    first = task.run(n_hvg=10)
    task.counts = task.counts.tolil()
    task.counts[50:, ::2] = 90
    task.counts = task.counts.tocsr()
    second = task.run(n_hvg=10)
    known = np.arange(60) < 50
    # Padding depends on who shares a mini-batch: equal to rounding, and any fit on query cells would be far beyond.
    np.testing.assert_allclose(first.probability[known], second.probability[known], atol=1e-5)
    assert np.abs(first.probability[~known] - second.probability[~known]).max() > 1e-3


def test_the_given_validation_part_does_not_train(task):
    validation = np.zeros(60, dtype=bool)
    validation[30:45] = True
    result = task.run(validation=validation, epochs=3)
    assert result.session.facts["train_cells"] == 30
    assert len(result.history.validation) == 3
    hidden = np.where(validation, -1, task.labels)
    other = task.run(labels=hidden, validation_fraction=0.0, epochs=3)
    np.testing.assert_allclose(result.history.train[0]["cls"], other.history.train[0]["cls"])


def test_a_query_cell_without_known_gene_gets_the_prior_and_is_told(task):
    task.counts = task.counts.tolil()
    task.counts[55] = 0
    task.counts = task.counts.tocsr()
    result = task.run(validation_fraction=0.0)
    assert not result.known[55]
    assert result.known.sum() == 59
    np.testing.assert_allclose(result.probability[55], np.bincount(task.labels[:45]) / 45)
    assert np.isfinite(result.probability).all()
    assert any("cell55" in w for w in result.session.warnings)


def test_a_checkpoint_of_integration_is_unfit(task, small):
    made = small(n_batches=2, n_domains=2)
    save_checkpoint(task.folder, made.model, made.vocabulary)
    with pytest.raises(UnfitCheckpoint, match="DSBN"):
        task.run("frozen")


def test_freezing_and_its_modes(small):
    model = small(n_classes=3, batch_norm=True, dropout=0.5).model
    freeze(model, "none")
    assert all(p.requires_grad for p in model.parameters())
    freeze(model, "embeddings")
    fixed = {n.split(".")[0] for n, p in model.named_parameters() if not p.requires_grad}
    assert fixed == {"encoder", "value_encoder"}
    freeze(model, "backbone")
    training_mode(model)
    assert {n for n, m in model.named_children() if m.training} == {"decoder", "mvc_decoder", "cls_decoder"}
    with pytest.raises(ValueError, match="cannot freeze 'half'"):
        freeze(model, "half")
