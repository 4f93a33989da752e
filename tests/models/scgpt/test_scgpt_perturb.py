from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.contract.sample import sample_view, take
from sceval.models.request import NotApplicable, Request
from sceval.models.scgpt.checkpoint import save_checkpoint
from sceval.models.scgpt.perturb import genes_of, predict_perturbations
from sceval.models.scgpt.program import MODEL
from sceval.models.scgpt.verbs import perturb

TINY = {"d_model": 16, "n_heads": 2, "n_layers": 1, "epochs": 3, "batch_size": 16, "lr": 0.01, "pool_size": 10}


@pytest.fixture
def screen(small):
    """Knock-outs of GENE0 to GENE3."""
    made = small(n_cells=80, n_genes=20)
    names = np.array(["ctrl", "GENE0", "GENE1", "GENE2", "GENE3"], object)[np.arange(80) % 5]
    rate = np.full((80, 20), 5.0)
    for i, name in enumerate(names):
        if name != "ctrl":
            rate[i, int(name[4:])] = 0.0
    made.counts = sp.csr_matrix(made.rng.poisson(rate).astype(np.float32))
    made.names = names
    return made


@pytest.fixture
def predict(screen, session_of):
    def call(targets, regime="scratch", rows=None, folder=None, names=None, genes=None, **params):
        rows = np.arange(80) if rows is None else rows
        given = params.pop("given", {})
        symbols = screen.symbols if genes is None else genes
        session = session_of(
            *("perturb", regime, screen.counts[rows], symbols, [screen.cells[i] for i in rows]),
            weights=folder,
            **{**TINY, **params},
        )
        names = (screen.names if names is None else names)[rows]
        return predict_perturbations(session, names, "ctrl", targets, **given), session

    return call


def test_names_of_perturbations():
    assert genes_of("A+B", "ctrl") == ["A", "B"]
    assert genes_of("A+ctrl", "control") == ["A"]
    assert genes_of("control", "control") == []


def test_a_knocked_out_gene_is_learned_to_fall_even_in_pairs_not_seen(predict):
    made, session = predict(["GENE1", "GENE2", "GENE1+GENE2"], epochs=15)
    assert made[0, 1] < made[1, 1] - 1
    assert made[1, 2] < made[0, 2] - 1
    assert (made[2, [1, 2]] < made[[1, 0], [1, 2]] - 1).all()
    assert session.facts["validation_perturbations"] == 4


def test_order_of_cells_changes_nothing_and_the_seed_does(predict):
    first, _ = predict(["GENE1", "GENE0+GENE2"])
    order = np.random.default_rng(0).permutation(80)
    np.testing.assert_allclose(predict(["GENE1", "GENE0+GENE2"], rows=order)[0], first, atol=1e-5)


def test_order_of_cells_and_genes_changes_nothing_where_a_subset_of_genes_trains():
    view, rng = sample_view(n=40, g=20, task="perturbation"), np.random.default_rng(0)
    genes = rng.permutation(20)
    mixed = take(view, rng.permutation(40), genes)
    params = TINY | {"max_length": 6, "epochs": 2}
    first, other = (perturb(MODEL, Request(cells, "scratch", params, 0, "cpu")) for cells in (view, mixed))
    np.testing.assert_allclose(other.X, first.X[:, genes], atol=1e-5)


def test_a_subset_of_genes_trains_and_all_are_predicted(predict):
    made, _ = predict(["GENE3"], max_length=6)
    assert made.shape == (1, 20)
    assert np.isfinite(made).all()


def test_unmeasured_and_unknown_targets_are_told(screen, predict, tmp_path):
    save_checkpoint(tmp_path, screen.model, screen.vocabulary)
    made, session = predict(["NOBODY", "GENE1"], "finetune", folder=tmp_path, epochs=1)
    assert made.shape == (2, 20)
    assert any("NOBODY" in line and "not measured" in line for line in session.warnings)
    assert any("NOBODY" in line and "unknown to the model" in line for line in session.warnings)
    new = session.loaded.report.new
    assert "pert_encoder.weight" in new
    assert not any(name.startswith(("transformer_encoder", "encoder", "value_encoder")) for name in new)


def test_contexts_start_from_their_own_controls(screen, predict):
    contexts = np.array([f"c{i % 2}" for i in range(80)], object)
    counts = screen.counts.toarray()
    counts[contexts == "c1", 19] *= 8
    screen.counts = sp.csr_matrix(counts)
    given = {"contexts": contexts, "target_contexts": ["c0", "c1"]}
    made, _ = predict(["GENE1", "GENE1"], epochs=10, given=given)
    assert made[1, 19] > made[0, 19]


def test_cells_without_a_perturbation_do_not_train(screen, predict):
    names = screen.names.copy()
    names[::4] = None
    _, session = predict(["GENE1"], names=names, epochs=1, validation_fraction=0.0)
    assert session.facts["train_cells"] == 60


def test_without_controls_it_is_not_applicable(screen, predict):
    with pytest.raises(NotApplicable, match="0 control cells"):
        predict(["GENE1"], names=np.full(80, "GENE1", object))


def test_a_trained_perturbation_model_can_be_kept(screen, predict, tmp_path):
    _, session = predict(["GENE1"], epochs=1)
    save_checkpoint(tmp_path, session.loaded.network, session.loaded.vocabulary)
    _, again = predict(["GENE1"], "finetune", folder=tmp_path, epochs=1, lr=1e-9)
    assert again.loaded.report.new == {}
    torch.testing.assert_close(
        again.loaded.network.pert_encoder.weight, session.loaded.network.pert_encoder.weight, atol=1e-6, rtol=0
    )
