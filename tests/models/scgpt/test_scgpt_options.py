"""What the scEval study varied: initial settings, reconstruction by cross-entropy, labels in integration."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.scgpt import losses
from sceval.models.scgpt.checkpoint import load_checkpoint, save_checkpoint
from sceval.models.scgpt.integrate import integrate_cells

TINY = {"epochs": 1, "batch_size": 8, "n_hvg": 12, "min_gene_counts": 0.0, "lr": 0.01, "dropout": 0.0}


@pytest.fixture
def integrate(session_of):
    """Integrate a small dataset of two batches."""

    def make(made, folder=None, regime=None, labels=None, **params):
        session = session_of(
            *("integrate", regime or ("scratch" if folder is None else "finetune")),
            *(made.counts, made.symbols, made.cells),
            weights=folder,
            **{**TINY, **params},
        )
        return integrate_cells(session, [f"b{i % 2}" for i in range(len(made.cells))], labels=labels)

    return make


@pytest.mark.parametrize(
    ("regime", "trains"),
    [
        ("encoder_only", {"transformer_encoder"}),
        ("decoder_only", {"decoder"}),
        ("frozen_embeddings", {"transformer_encoder", "decoder", "mvc_decoder", "grad_reverse_discriminator"}),
    ],
)
def test_initial_settings_train_what_they_name_and_nothing_else(small, integrate, tmp_path, regime, trains):
    made = small(n_batches=2, n_domains=2, zero_prob=True, discriminator=2)
    save_checkpoint(tmp_path, made.model, made.vocabulary)
    after = integrate(made, tmp_path, regime).model.state_dict()
    moved = {
        name.split(".", 1)[0]
        for name, value in made.model.state_dict().items()
        if name in after and not torch.equal(after[name], value) and not name.startswith("dsbn.")
    }
    assert moved == trains


def test_values_are_learned_by_cross_entropy_over_bins(small, integrate, tmp_path):
    made = small(n_cells=40)
    result = integrate(made, reconstruction="cross_entropy", epochs=6, d_model=8, n_heads=2, n_layers=1)
    terms = [epoch["gep"] for epoch in result.history.train]
    assert result.model.config.n_value_bins == 51
    assert terms[0] == pytest.approx(np.log(51), rel=0.25)
    assert terms[-1] < terms[0]
    save_checkpoint(tmp_path, result.model, result.vocabulary)
    again, _, report, _ = load_checkpoint(tmp_path)
    assert report.new == report.left_out == {}
    assert again.config.n_value_bins == 51


def test_a_checkpoint_of_values_gives_its_lower_layers_to_a_decoder_of_bins(small, tmp_path):
    made = small()
    save_checkpoint(tmp_path, made.model, made.vocabulary)
    model, _, report, _ = load_checkpoint(tmp_path, n_value_bins=51)
    assert set(report.new) == {
        *("decoder.fc.4.weight", "decoder.fc.4.bias", "mvc_decoder.to_bins.weight", "mvc_decoder.to_bins.bias"),
    }
    torch.testing.assert_close(model.decoder.fc[0].weight, made.model.decoder.fc[0].weight)


def test_labels_are_learned_where_they_are_given(small, integrate):
    made = small(n_cells=40)
    labels = np.arange(40) % 2
    labels[::5] = -1
    sizes = {"d_model": 8, "n_heads": 2, "n_layers": 1, "epochs": 8}
    result = integrate(made, labels=labels, **sizes)
    assert result.model.config.n_classes == 2
    assert result.history.train[-1]["cls"] < result.history.train[0]["cls"]
    assert "cls" not in integrate(made, **sizes | {"epochs": 1}).history.train[0]


def test_cells_without_a_class_do_not_count():
    logits = torch.tensor([[2.0, 0.0], [0.0, 5.0]], requires_grad=True)
    value = losses.labelled_cross_entropy(logits, torch.tensor([0, -1]))
    assert float(value.detach()) == pytest.approx(np.log1p(np.exp(-2)))
    nobody = losses.labelled_cross_entropy(logits, torch.tensor([-1, -1]))
    nobody.backward()
    assert float(nobody.detach()) == 0
    assert not logits.grad.any()


def test_unknown_regimes_are_refused(small, integrate):
    with pytest.raises(ValueError, match="unknown regime 'zero_shot'"):
        integrate(small(), regime="zero_shot")
