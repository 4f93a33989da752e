"""Annotation by the shared verb, in every regime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import make_view
from sceval import contract
from sceval.models.request import NotApplicable
from sceval.models.transformer.annotate import annotate_cells
from sceval.models.transformer.embed import embed_cells
from sceval.training.seed import seed_everything


def run(made, regime="finetune", rows=None, labels=None, validation=None, **given):
    rows = np.arange(60) if rows is None else np.asarray(rows)
    session = made.session("annotate", regime, rows=rows, **given)
    return annotate_cells(session, (made.labels if labels is None else labels)[rows], 3, validation=validation), session


def fresh(made):
    return made.session("annotate", "finetune").loaded.network.state_dict()


def moved(made, regime, **given):
    """First two words of the names of backbone parameters that training changed."""
    before = fresh(made)
    after = run(made, regime, epochs=1, **given)[0].network.state_dict()
    assert before.keys() == after.keys()
    return {name.rsplit(".", 1)[0] for name, value in after.items() if not torch.equal(value, before[name])}


ALL = {f"layers.{i}.{part}" for i in range(2) for part in ("query", "key", "value", "norm", "out")} | {
    "genes",
    "values",
}


@pytest.mark.parametrize("regime", ["frozen", "frozen_embeddings", "finetune", "scratch"])
def test_learns_and_repeats_in_any_order(made, regime):
    epochs = {"epochs": 60 if regime == "frozen" else 12}
    result, session = run(made, regime, **epochs)
    query = made.labels < 0
    least = 0.6 if regime == "frozen" else 0.8  # a random backbone keeps little to learn from
    assert (result.probability.argmax(1) == made.classes)[query].mean() > least
    np.testing.assert_allclose(result.probability.sum(1), 1)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(run(made, regime, order, **epochs)[0].probability, result.probability[order])
    other = run(made, regime, seed=1, **epochs)[0].probability
    assert np.abs(other - result.probability).max() > 1e-4
    assert session.facts["train_cells"] + session.facts["validation_cells"] == 45


def test_what_each_regime_changes(made):
    assert moved(made, "frozen") == set()
    lower = {f"layers.0.{part}" for part in ("query", "key", "value", "norm", "out")}
    assert moved(made, "frozen", frozen_layers=1) == ALL - lower
    assert moved(made, "frozen", frozen_layers=0) == ALL
    assert moved(made, "frozen_embeddings") == ALL - {"genes", "values"}
    assert moved(made, "finetune") == ALL - {"values"}  # the toy's official rule
    projections = {f"layers.{i}.{part}" for i in range(2) for part in ("query", "value")}
    assert moved(made, "finetune", lora_rank=2) == projections


def test_frozen_computes_its_vectors_once(made, monkeypatch):
    from toy.network import Toy

    calls = []
    plain = Toy.encode
    monkeypatch.setattr(Toy, "encode", lambda self, batch: calls.append(len(batch["genes"])) or plain(self, batch))
    result, _ = run(made, "frozen", epochs=5)
    assert sum(calls) == 60
    assert len(result.history.train) == 5


def test_a_head_on_more_than_one_vector_trains_without_moving_the_backbone(made, monkeypatch):
    from torch import nn
    from toy.network import Toy

    class Positions(nn.Module):
        def __init__(self, width, n):
            super().__init__()
            self.out = nn.Linear(width, n)

        def forward(self, x):
            return self.out(x.amax(dim=1))

    monkeypatch.setattr(Toy, "one_vector", False)
    monkeypatch.setattr(Toy, "features", lambda self, batch: self.contextual(batch)[0])
    monkeypatch.setattr(Toy, "new_head", lambda self, n, settings: Positions(self.config.width, n))
    assert moved(made, "frozen") == set()
    result, _ = run(made, "frozen", epochs=3)
    assert np.isfinite(result.probability).all()
    assert len(set(result.history.validation)) == 3


def test_every_training_cell_is_seen_once_in_each_epoch(made, monkeypatch):
    from toy.tokens import Tokens

    seen, plain = [], Tokens.batch
    monkeypatch.setattr(Tokens, "batch", lambda self, rows: seen.append(np.array(rows)) or plain(self, rows))
    validation = np.zeros(60, bool)
    validation[36:45] = True
    run(made, "finetune", validation=validation, epochs=2, batch_size=7, patience=0)
    steps = -(-36 // 7)
    epoch = steps + 2  # nine validation cells are two mini-batches
    first, second = (np.concatenate(seen[i * epoch : i * epoch + steps]) for i in range(2))
    assert sorted(first) == sorted(second) == list(range(36))
    assert list(first) != list(second)


def test_validation_cells_pick_the_epoch_and_never_train(made):
    validation = np.zeros(60, bool)
    validation[30:45] = True
    result, session = run(made, "finetune", validation=validation, epochs=6, lr=0.05)
    assert session.facts["train_cells"] == 30
    assert result.history.best_value == min(result.history.validation)
    assert session.facts["best_epoch"] == int(np.argmin(result.history.validation)) + 1
    # Wrong labels of validation cells change what is picked, and no step.
    wrong = np.where(validation, (made.labels + 1) % 3, made.labels)
    other, _ = run(made, "finetune", labels=wrong, validation=validation, epochs=6, lr=0.05)
    assert other.history.train == result.history.train
    assert other.history.validation != result.history.validation
    assert other.history.best_epoch != result.history.best_epoch
    # Labels of query cells are unknown here; their counts change nothing that is fitted.
    made.counts = made.counts.tolil()
    made.counts[50:, ::2] = 90
    made.counts = made.counts.tocsr()
    third, _ = run(made, "finetune", validation=validation, epochs=6, lr=0.05)
    np.testing.assert_allclose(third.probability[:50], result.probability[:50], atol=1e-5)


def test_early_stopping(made):
    result, session = run(made, "finetune", epochs=40, lr=0.5, patience=2)
    assert session.facts["epochs_run"] < 40
    assert session.facts["epochs_run"] - session.facts["best_epoch"] == 2
    assert len(result.history.train) == session.facts["epochs_run"]


def test_heads_depend_on_the_seed_alone(made):
    def head(seed):
        seed_everything(seed + 100)  # what was drawn before must not matter
        torch.rand(seed + 1)
        session = made.session("annotate", "frozen", epochs=1, lr=1e-12, seed=seed)
        return annotate_cells(session, made.labels, 3).head.weight.detach()

    torch.testing.assert_close(head(0), head(0))
    assert not torch.allclose(head(0), head(1))


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(made):
    from sceval.models.transformer.fitting import Classifier, loop_settings, optimizer_of
    from sceval.training.loop import optimize_step

    session = made.session("annotate", "finetune", clip_norm=0.01, optimizer="sgd", lr=1.0)
    network = session.loaded.network
    model = Classifier(network, network.new_head(3, session.settings))
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    batch = {k: torch.from_numpy(v) for k, v in session.tokenize().batch(np.arange(20)).items()}
    value = torch.nn.functional.cross_entropy(model(batch), torch.from_numpy(made.classes[:20]))
    optimizer = optimizer_of(model, session.settings)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
    parameters = list(model.parameters())
    norm = optimize_step(
        value, parameters, optimizer, clip_norm=loop_settings(session.settings).clip_norm, scaler=scaler
    )
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert norm > 0.01
    assert float((after - before).norm()) == pytest.approx(0.01, rel=1e-3)


def test_dropout_acts_on_what_trains_alone(made):
    from sceval.models.transformer.fitting import Classifier
    from sceval.models.transformer.regimes import apply_regime, training_mode

    session = made.session("annotate", "frozen", dropout=0.5, frozen_layers=1)
    network = session.loaded.network
    apply_regime(network, "frozen", session.settings, 0)
    training_mode(Classifier(network, network.new_head(3, {})))
    assert not network.layers[0].dropout.training
    assert network.layers[1].dropout.training


def test_a_cell_without_known_gene_gets_the_prior(made):
    made.counts = made.counts.tolil()
    made.counts[55] = 0
    made.counts = made.counts.tocsr()
    result, session = run(made, "finetune", validation_fraction=0.0)
    assert not result.known[55]
    assert result.known.sum() == 59
    np.testing.assert_allclose(result.probability[55], np.bincount(made.labels[:45]) / 45)
    assert np.isfinite(result.probability).all()
    assert any("cell055" in text for text in session.warnings)


@pytest.mark.parametrize("regime", ["frozen", "finetune"])
def test_predictions_do_not_depend_on_batch_size_or_neighbors(made, regime):
    from sceval.models.transformer import encode

    session = made.session("annotate", regime)
    result = annotate_cells(session, made.labels, 3)
    tokens = made.session("annotate", regime).tokenize()
    for size, rows in ((1, np.arange(45, 60)), (4, np.arange(59, 44, -1)), (60, np.arange(60))):
        logits = encode.vectors_of(
            lambda batch: result.network.logits(result.head, batch), tokens, rows, session.place, {"batch_size": size}
        )
        odds = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), result.probability[rows], atol=1e-5)


def test_what_cannot_be_asked_for(made):
    with pytest.raises(ValueError, match="unknown regime 'zero_shot'"):
        run(made, "zero_shot")
    session = made.session("annotate", "finetune")
    session.weights = None
    with pytest.raises(ValueError, match="finetune needs pre-trained weights"):
        annotate_cells(session, made.labels, 3)
    with pytest.raises(ValueError, match=r"-1 \.\. 1"):
        annotate_cells(made.session("annotate", "finetune"), made.labels, 2)
    with pytest.raises(NotApplicable, match="the network has 2 layers"):
        run(made, "frozen", frozen_layers=3)
    with pytest.raises(NotApplicable, match="lora_rank 4 is for the regime finetune"):
        run(made, "frozen", lora_rank=4)
    made.counts = made.counts.tolil()
    made.counts[:45] = 0
    made.counts = made.counts.tocsr()
    with pytest.raises(NotApplicable, match="no training cell"):
        run(made, "finetune")


@pytest.mark.parametrize("regime", ["frozen", "frozen_embeddings", "finetune", "scratch"])
def test_the_program_annotates_query_cells(call, regime):
    view = make_view(n=60, g=30)
    row = int(np.flatnonzero(view.obs["part"] == "test")[0])
    view.X = view.X.tolil()
    view.X[row] = 0
    view.X = view.X.tocsr()
    result = call("annotate", regime, view)
    assert result.exit_code == 0, result.stderr
    cells = contract.read("annotation", result.output_path)
    assert sorted(cells.obs_names) == sorted(view.obs_names[view.obs["part"] == "test"])
    prediction = dict(zip(cells.obs_names, cells.obs["prediction"], strict=True))
    assert [name for name, label in prediction.items() if label == "unassigned"] == [view.obs_names[row]]
    np.testing.assert_allclose(cells.obsm["probability"].sum(1), 1, atol=1e-6)
    assert "toy annotate: epoch" in result.stderr
    assert result.facts["params_used"]["epochs"] == (100 if regime == "frozen" else 4)
    assert result.facts["validation_cells"] == int((view.obs["part"] == "validation").sum())


def test_embedding_after_training_starts_from_the_file_again(made):
    before = embed_cells(made.session())
    run(made, "finetune", epochs=2)
    np.testing.assert_array_equal(embed_cells(made.session()), before)
