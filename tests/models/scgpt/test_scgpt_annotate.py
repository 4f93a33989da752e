from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.models.scgpt.annotate import annotate_cells
from sceval.models.scgpt.checkpoint import load_checkpoint, save_checkpoint
from sceval.models.scgpt.regimes import freeze, training_mode

TINY = {"d_model": 16, "n_heads": 2, "n_layers": 1, "epochs": 4, "batch_size": 8, "lr": 0.01, "n_hvg": 0}


@pytest.fixture
def task(small, tmp_path):
    """Three classes with marker genes, a checkpoint, and a run."""
    made = small(n_cells=60, n_classes=3, decoder="none", mvc=False)
    classes = np.arange(60) % 3
    rate = np.where(np.arange(30)[None, :] % 3 == classes[:, None], 8.0, 0.4)
    made.counts = sp.csr_matrix(made.rng.poisson(rate).astype(np.float32))
    made.truth = classes
    made.labels = np.where(np.arange(60) < 45, classes, -1)
    made.folder = tmp_path / "c"
    save_checkpoint(made.folder, made.model, made.vocabulary)

    def run(regime="scratch", rows=None, seed=0, labels=None, validation=None, **params):
        rows = np.arange(60) if rows is None else rows
        return annotate_cells(
            made.counts[rows],
            made.symbols,
            [made.cells[i] for i in rows],
            (made.labels if labels is None else labels)[rows],
            3,
            regime=regime,
            validation=validation,
            weights=None if regime == "scratch" else made.folder,
            params={**TINY, **params},
            seed=seed,
            device="cpu",
        )

    made.run = run
    return made


@pytest.mark.parametrize("regime", ["scratch", "finetune", "frozen"])
def test_learns_and_repeats_in_any_order(task, regime):
    options = {"epochs": 25}
    if regime == "frozen":
        # A random backbone keeps little to learn from: freeze one that was trained, without its head.
        save_checkpoint(task.folder, task.run("finetune", epochs=15).model, task.vocabulary)
        path = task.folder / "best_model.pt"
        tensors = torch.load(path, weights_only=True)
        torch.save({k: v for k, v in tensors.items() if not k.startswith("cls_decoder")}, path)
    result = task.run(regime, **options)
    query = task.labels < 0
    assert (result.probability.argmax(1) == task.truth)[query].mean() > 0.8
    np.testing.assert_allclose(result.probability.sum(1), 1)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(task.run(regime, order, **options).probability, result.probability[order])
    assert (result.report is None) == (regime == "scratch")


def test_frozen_leaves_the_backbone_untouched_and_trains_the_head(task):
    model = task.run("frozen").model
    before = load_checkpoint(task.folder)[0].state_dict()
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved
    assert all(n.startswith("cls_decoder.") for n in moved)


def test_finetune_moves_the_backbone_and_the_notebook_switch_holds_the_embeddings(task):
    before = load_checkpoint(task.folder)[0].state_dict()

    def moved(**params):
        model = task.run("finetune", epochs=1, **params).model
        return {n.split(".")[0] for n, v in model.state_dict().items() if not torch.equal(v, before[n])}

    assert moved() == {"encoder", "value_encoder", "transformer_encoder", "cls_decoder"}
    assert moved(freeze_embeddings=True) == {"transformer_encoder", "cls_decoder"}


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
    assert result.notes.facts["train_cells"] == 30
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
    assert any("cell55" in w for w in result.notes.warnings)


def test_what_cannot_be_asked_for(task, small, tmp_path):
    with pytest.raises(ValueError, match="unknown regime 'zero_shot'"):
        task.run("zero_shot")
    arguments = (task.counts, task.symbols, task.cells, task.labels, 3)
    with pytest.raises(ValueError, match="finetune needs pre-trained weights"):
        annotate_cells(*arguments, regime="finetune")
    with pytest.raises(ValueError, match="scratch takes no pre-trained weights"):
        annotate_cells(*arguments, regime="scratch", weights=task.folder)
    with pytest.raises(ValueError, match=r"-1 \.\. 1"):
        annotate_cells(*arguments[:4], 2, regime="scratch")
    made = small(n_batches=2, n_domains=2)
    save_checkpoint(tmp_path / "dsbn", made.model, made.vocabulary)
    with pytest.raises(ValueError, match="DSBN"):
        annotate_cells(*arguments, regime="frozen", weights=tmp_path / "dsbn", device="cpu")


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
