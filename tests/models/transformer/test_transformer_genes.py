"""Gene classes by the shared verb: loss over occurrences, mean probability over cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import make_view
from sceval.contract.tables import read as read_table
from sceval.models.request import NotApplicable
from sceval.models.transformer.classify_genes import GeneClassifier, LabelledGenes, _slots, classify_genes


def labelled(g=30):
    """Genes 0 to 17 train, 18 to 23 pick the epoch, the rest are asked for; the class is the marker group."""
    codes = np.arange(g) % 3
    test = np.arange(24, g)
    codes = np.where(np.arange(g) < 24, codes, -1)
    return LabelledGenes(np.array(list("abc"), object), codes, np.arange(18), np.arange(18, 24), test)


def run(made, regime="finetune", genes=None, **given):
    session = made.session("classify-genes", regime, **{"epochs": 6, "lr": 0.01, **given})
    return classify_genes(session, genes or labelled()), session


@pytest.mark.parametrize("regime", ["frozen", "finetune", "scratch"])
def test_same_seed_same_numbers_in_any_order_of_cells(made, regime):
    result, session = run(made, regime)
    assert list(result.genes) == [f"gene{i}" for i in range(24, 30)]
    np.testing.assert_allclose(result.probability.sum(1), 1)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_array_equal(run(made, regime, rows=order)[0].probability, result.probability)
    assert np.abs(run(made, regime, seed=1)[0].probability - result.probability).max() > 1e-4
    assert session.facts["train_genes"] == 18
    assert session.facts["validation_genes"] == 6


def test_it_learns_the_marker_groups_of_genes_it_has_not_seen(made):
    # The vector of a gene tells its group only through the cells that it stands in.
    result, _ = run(made, "scratch", epochs=40)
    assert (result.probability.argmax(1) == np.arange(24, 30) % 3).mean() > 0.6


def test_the_loss_is_averaged_over_occurrences_and_the_prediction_over_cells(made):
    session = made.session("classify-genes", "finetune", epochs=1, lr=1e-12, validation_fraction=0.0)
    genes = labelled()
    result = classify_genes(session, genes)
    network = session.loaded.network
    tokens = session.tokenize()
    # The head is drawn from the seed, so it can be drawn again.
    from sceval.models.transformer.fitting import seeded_head
    from sceval.training.seed import derive_seed

    head = seeded_head(lambda: network.new_gene_head(3, {}), derive_seed(0, "head"))
    sums, counts = np.zeros((30, 3)), np.zeros(30)
    with torch.no_grad():
        for row in range(60):
            batch = {k: torch.from_numpy(v) for k, v in tokens.batch(np.array([row])).items()}
            hidden, ids = network.contextual(batch)
            for vector, gene in zip(hidden[0], ids[0].tolist(), strict=True):
                sums[gene] += head(vector).double().softmax(0).numpy()
                counts[gene] += 1
    np.testing.assert_allclose(result.probability, (sums / counts[:, None])[24:], atol=1e-5)


def test_only_occurrences_of_the_wanted_tokens_are_classified(made):
    session = made.session("classify-genes", "finetune")
    network = session.loaded.network
    model = GeneClassifier(network, network.new_gene_head(3, {}))
    batch = {k: torch.from_numpy(v) for k, v in session.tokenize().batch(np.arange(8)).items()}
    logits, found = model(batch, _slots(np.array([2, 5]), np.array([1, 0]), session.place))
    there = np.isin(batch["genes"].numpy(), [2, 5])
    assert logits.shape == (there.sum(), 3)
    np.testing.assert_array_equal(found.numpy(), np.where(batch["genes"].numpy()[there] == 2, 1, 0))


def test_labels_of_asked_genes_are_never_used(made):
    result, _ = run(made)
    genes = labelled()
    codes = genes.codes.copy()
    codes[24:] = 2  # as if the view had leaked them
    leaked = LabelledGenes(genes.classes, codes, genes.train, genes.validation, genes.test)
    np.testing.assert_array_equal(run(made, genes=leaked)[0].probability, result.probability)


def test_a_gene_in_no_cell_and_an_unknown_gene_get_the_prior(made):
    made.genes.symbols[29] = "NOTAGENE"
    made.counts = made.counts.tolil()
    made.counts[:, 28] = 0
    made.counts = made.counts.tocsr()
    result, session = run(made)
    np.testing.assert_allclose(result.probability[4:], np.full((2, 3), 1 / 3))
    assert np.abs(result.probability[:4] - 1 / 3).max() > 1e-3
    assert any("2 of 6 genes" in text and "gene28" in text for text in session.warnings)


def test_lora_and_the_best_epoch(made):
    result, session = run(made, lora_rank=2, epochs=4)
    assert np.isfinite(result.probability).all()
    assert 1 <= session.facts["best_epoch"] <= 4
    assert not any("parametrizations" in name for name in session.loaded.network.state_dict())


def gene_view():
    view = make_view(n=40, g=30, task="batch_integration")
    view.var["gene_class"] = np.array([f"class{i % 3}" if i < 20 else None for i in range(30)], object)
    view.var["part"] = np.array(["train"] * 16 + ["validation"] * 4 + ["test"] * 6 + [None] * 4, object)
    return view


@pytest.mark.parametrize("regime", ["frozen", "finetune", "scratch"])
def test_the_program_writes_a_table_of_the_asked_genes(call, regime):
    view = gene_view()
    result = call("classify-genes", regime, view, {"epochs": 2})
    assert result.exit_code == 0, result.stderr
    table = read_table("gene_classes", result.output_path)
    assert set(table["gene"]) == set(view.var_names[20:26])
    assert set(table["class"]) == {"class0", "class1", "class2"}
    np.testing.assert_allclose(table.groupby("gene")["probability"].sum(), 1, atol=1e-6)


def test_what_the_view_must_hold(call):
    view = gene_view()
    view.var["gene_class"][:20] = "same"
    assert "1 classes" in call("classify-genes", "finetune", view).stderr.splitlines()[-1]
    view = gene_view()
    view.var["part"][20:26] = None
    assert "asks for no gene" in call("classify-genes", "finetune", view).stderr.splitlines()[-1]
    del view.var["part"]
    result = call("classify-genes", "finetune", view)
    assert result.exit_code == 99
    assert "no columns `gene_class`" in result.stderr.splitlines()[-1]


def test_no_training_gene_is_known(made):
    made.genes.symbols[:18] = [f"XYZ{i}" for i in range(18)]
    with pytest.raises(NotApplicable, match="none of the training genes"):
        run(made)
