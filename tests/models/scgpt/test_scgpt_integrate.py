from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sceval.models.scgpt.checkpoint import load_checkpoint, save_checkpoint
from sceval.models.scgpt.feeding import to_tensors
from sceval.models.scgpt.integrate import integrate_cells
from sceval.models.scgpt.objectives import TensorBatch, loss_terms, weighted_loss
from sceval.models.scgpt.options import loss_weights
from sceval.models.scgpt.recipe import OFFICIAL, PARAMS, resolve
from sceval.models.scgpt.tokens import TokenBatch

TINY = {"d_model": 8, "n_heads": 2, "n_layers": 1, "epochs": 2, "batch_size": 8, "n_hvg": 12, "min_gene_counts": 0.0}


@pytest.fixture
def run(session_of):
    """Integrate a small dataset of three batches."""

    def make(made, rows=None, seed=0, weights=None, regime=None, labels=None, **params):
        rows = np.arange(len(made.cells)) if rows is None else rows
        session = session_of(
            *("integrate", regime or ("scratch" if weights is None else "finetune")),
            *(made.counts[rows], made.symbols, [made.cells[i] for i in rows]),
            weights=weights,
            seed=seed,
            **{**TINY, **params},
        )
        result = integrate_cells(session, [f"b{i % 3}" for i in rows], labels=None if labels is None else labels[rows])
        return SimpleNamespace(**vars(result), facts=session.facts, warnings=session.warnings)

    return make


def test_same_seed_same_numbers_in_any_order_of_the_file(small, run):
    made = small()
    first = run(made)
    assert first.X.shape == (24, 8)
    assert first.X.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first.X, axis=1), 1, atol=1e-6)
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(run(made, order).X, first.X[order])
    assert np.abs(run(made, seed=1).X - first.X).max() > 1e-3


def test_the_official_recipe_is_what_runs(small, run):
    result = run(small())
    assert set(result.history.train[0]) == {"loss", "gep", "gep_nzlp", "gepc", "gepc_nzlp", "ecs", "dab"}
    first = result.history.train[0]
    rest = sum(first[t] for t in ("gep", "gep_nzlp", "gepc", "gepc_nzlp", "dab"))
    assert first["loss"] == pytest.approx(rest + 10 * first["ecs"], rel=1e-4)
    config = result.model.config
    assert (config.n_batches, config.n_domains, config.discriminator, config.zero_prob, config.mvc) == (
        3,
        3,
        3,
        True,
        True,
    )
    assert result.facts["genes_used"] == 12
    assert len(result.vocabulary) == 30 + 3
    assert {"lr": 1e-4, "epochs": 15, "batch_size": 64, "mask_ratio": 0.4, "n_hvg": 1200}.items() <= OFFICIAL[
        "integrate"
    ].items()


def test_training_lowers_the_loss_and_keeps_the_best_epoch(small, run):
    result = run(small(n_cells=60), epochs=6, lr=0.01)
    assert result.history.train[-1]["loss"] < result.history.train[0]["loss"]
    assert result.history.best_value == min(result.history.validation)
    assert result.facts["best_epoch"] == int(np.argmin(result.history.validation)) + 1


def test_terms_with_weight_zero_are_left_out_with_their_heads(small, run):
    result = run(small(), zero_prob_weight=0.0, mvc_weight=0.0, dab_weight=0.0, ecs_weight=0.0, dsbn=False)
    assert set(result.history.train[0]) == {"loss", "gep"}
    config = result.model.config
    assert (config.zero_prob, config.mvc, config.discriminator, config.n_domains) == (False, False, 0, 0)
    half = loss_weights(resolve("integrate", "scratch", {"mvc_weight": 0.5}), batches=True, labels=False)
    assert half["gepc_nzlp"] == 0.5


def test_a_cell_without_used_gene_gets_nan_and_does_not_train(small, run):
    made = small()
    made.counts = made.counts.tolil()
    made.counts[5] = 0
    made.counts = made.counts.tocsr()
    result = run(made)
    assert np.isnan(result.X[5]).all()
    assert np.isfinite(np.delete(result.X, 5, axis=0)).all()
    assert any("cell5" in w for w in result.warnings)


@pytest.mark.parametrize("changes", [{}, {"n_batches": 3, "n_domains": 3, "zero_prob": True, "discriminator": 3}])
def test_fine_tuning_starts_from_the_checkpoint_and_can_be_kept(small, run, tmp_path, changes):
    made = small(**changes)
    save_checkpoint(tmp_path / "c", made.model, made.vocabulary)
    result = run(made, weights=tmp_path / "c", epochs=1, lr=1e-9)
    for name, value in made.model.state_dict().items():
        if name.startswith("transformer_encoder"):
            torch.testing.assert_close(result.model.state_dict()[name], value, atol=1e-6, rtol=0)
    expected_new = "dsbn.bns.0.running_mean" in result.report.new
    assert expected_new == (not changes)
    save_checkpoint(tmp_path / "kept", result.model, result.vocabulary, args={"batches": result.facts["batches"]})
    again, _, report, files = load_checkpoint(tmp_path / "kept")
    assert report.new == report.left_out == {}
    assert files.args["batches"] == ["b0", "b1", "b2"]
    assert again.config.n_domains == 3


def test_decoding_hidden_positions_only_gives_the_same_loss_and_gradient(small):
    made = small(n_batches=2, n_domains=2, zero_prob=True, discriminator=2)
    torch.manual_seed(1)
    ids, values = torch.randint(0, 30, (6, 9)), torch.rand(6, 9) * 50
    batch = TensorBatch(
        ids, values, None, torch.rand(6, 9) * 50, torch.rand(6, 9) < 0.4, torch.zeros(6, dtype=torch.long)
    )
    weights = {"gep": 1.0, "gep_nzlp": 2.0, "gepc": 1.0, "gepc_nzlp": 2.0}
    loss, terms = weighted_loss(made.model, batch, weights)
    loss.backward()
    short = {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}
    made.model.zero_grad()
    full = made.model(ids, values, None, batch.batch_labels, mvc=True)
    for name in ("expression", "zero_prob", "mvc", "mvc_zero_prob"):
        setattr(full, name, getattr(full, name)[batch.mask])
    again = loss_terms(full, batch, weights)
    sum(weights[k] * v for k, v in again.items()).backward()
    assert {k: pytest.approx(float(v.detach()), rel=1e-5) for k, v in again.items()} == terms
    for name, parameter in made.model.named_parameters():
        if name in short:
            torch.testing.assert_close(parameter.grad, short[name], rtol=1e-4, atol=1e-5)


def test_a_padding_mask_travels_only_where_something_is_padded():
    ids, values = np.zeros((2, 3), dtype=np.int64), np.ones((2, 3), dtype=np.float32)
    cpu = torch.device("cpu")
    assert to_tensors(TokenBatch(ids, values, np.zeros((2, 3), dtype=bool)), cpu).pad_mask is None
    assert to_tensors(TokenBatch(ids, values, np.eye(2, 3, dtype=bool)), cpu).pad_mask is not None


def test_parameters_are_declared_once_and_resolve_for_every_verb():
    names = [p.name for p in PARAMS]
    assert len(names) == len(set(names))
    for verb, regimes in {
        "embed-cells": ["zero_shot"],
        "integrate": ["finetune", "scratch"],
        "annotate": ["frozen", "finetune", "scratch"],
    }.items():
        for regime in regimes:
            found = resolve(verb, regime, {})
            assert set(found) == set(names)
            assert found["dropout"] >= 0 and found["attention_dropout"] >= 0 and found["cls_value"] != "recipe"
            assert found["batch_size"] > 0 and found["n_hvg"] >= 0
            if verb != "embed-cells":
                assert found["epochs"] > 0 and found["lr"] > 0 and found["gamma"] > 0
    assert resolve("integrate", "finetune", {"lr": 0.5, "mask_ratio": 0.1})["lr"] == 0.5
    assert resolve("annotate", "finetune", {})["attention_dropout"] == 0.0
    assert resolve("annotate", "finetune", {}, "cuda")["attention_dropout"] == 0.2
    with pytest.raises(ValueError, match="unknown parameters: learning_rate"):
        resolve("integrate", "scratch", {"learning_rate": 1})
