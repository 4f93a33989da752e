"""What both models promise: invariance, checkpoints, losses, the program."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sceval.models.performer import language_model
from sceval.models.performer.checkpoint import head_from_tensors, read_weights
from sceval.models.performer.head import SlotHead
from sceval.models.performer.keys import native_name, official_name
from sceval.models.transformer.problems import CheckpointError


@pytest.fixture
def saved(model, tmp_path):
    """Return a saved folder, its network, and a function that changes the file."""
    made = model.make()
    folder = tmp_path / "weights"
    model.checkpoint.save(folder, made.network, made.vocabulary)
    path = folder / model.checkpoint.WEIGHTS[-1]

    def change(function):
        content = torch.load(path, weights_only=True)
        torch.save(function(content["model_state_dict"]), path)

    return folder, made.network, path, change


def tensors_of(tokens, rows):
    return {name: torch.from_numpy(array) for name, array in tokens.batch(np.asarray(rows)).items()}


def test_vectors_do_not_depend_on_batch_order_or_neighbors(model, monkeypatch):
    made = model.make()
    tokens = model.tokenize(made.vocabulary)
    whole = model.vectors(made.network, tokens, np.arange(24))
    assert np.isfinite(whole).all()
    assert whole.std(axis=0).max() > 0.01
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_allclose(model.vectors(made.network, tokens, order), whole[order], atol=2e-6)
    alone = np.concatenate([model.vectors(made.network, tokens, [row]) for row in range(24)])
    np.testing.assert_allclose(alone, whole, atol=2e-6)
    part = model.tokenize(made.vocabulary, rows=[7, 3])
    np.testing.assert_allclose(model.vectors(made.network, part, [0, 1]), whole[[7, 3]], atol=2e-6)
    monkeypatch.setattr(language_model, "POSITIONS", 70)
    np.testing.assert_allclose(model.vectors(made.network, tokens, np.arange(24)), whole, atol=2e-6)


def test_official_stabilizer_depends_on_neighbors(model):
    made = model.make(stabilizer="batch")
    with torch.no_grad():
        for block in made.network.layers:
            block.to_k.weight *= 6
    tokens = model.tokenize(made.vocabulary)
    whole = model.vectors(made.network, tokens, np.arange(24))
    alone = np.concatenate([model.vectors(made.network, tokens, [row]) for row in range(24)])
    assert np.abs(whole - alone).max() > 1e-4


def test_same_seed_same_network(model):
    first, second, third = (model.checkpoint.new(model.genes, _sizes(), seed).network for seed in (1, 1, 2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(first.layers[0].projection, third.layers[0].projection)
    assert not torch.equal(first.layers[0].to_q.weight, third.layers[0].to_q.weight)


def _sizes(**changes):
    return {"dim": 12, "depth": 3, "heads": 2, "dim_head": 4, "n_features": 6, **changes}


def test_saved_and_loaded_again(model, saved):
    folder, network, _, _ = saved
    loaded = model.checkpoint.load(folder, {}, 0)
    assert loaded.report.new == {}
    assert loaded.report.left_out == {}
    assert list(model.checkpoint.known_genes(folder)) == model.genes.symbols
    assert loaded.network.config.performer == network.config.performer
    assert loaded.network.config.max_length == network.config.max_length
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value), name
    tokens = model.tokenize(loaded.vocabulary)
    own = model.vectors(network, tokens, np.arange(24))
    np.testing.assert_array_equal(model.vectors(loaded.network, tokens, np.arange(24)), own)


@pytest.mark.parametrize(
    "spell",
    [
        lambda t: t,
        lambda t: {"model_state_dict": {f"module.{k}": v for k, v in t.items()}, "epoch": 3, "losses": 0.5},
        lambda t: {"state_dict": {f"encoder.{k}": v for k, v in t.items()}},
        lambda t: {"model_state_dict": {f"module.encoder.{k}": v for k, v in t.items()}},
    ],
)
def test_every_spelling_gives_the_same_network(model, saved, spell):
    folder, network, _, change = saved
    change(spell)
    loaded = model.checkpoint.load(folder, {}, 0)
    assert loaded.report.new == {}
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value), name


def test_the_official_names_are_written(model, saved):
    _, network, path, _ = saved
    content = torch.load(path, weights_only=True)["model_state_dict"]
    assert content["performer.net.layers.1.0.fn.fast_attention.projection_matrix"].shape == (6, 4)
    assert content["pos_emb.emb.weight"].dtype == torch.float64
    assert {"performer.net.layers.0.1.fn.fn.w1.bias", "performer.calls_since_last_redraw", "to_out.bias"} <= set(
        content
    )
    assert [native_name(official_name(name)) for name in network.state_dict()] == list(network.state_dict())


def test_backbone_that_does_not_fit_fails_with_the_whole_list(model, saved):
    folder, _, _, change = saved

    def damage(tensors):
        tensors["performer.net.layers.1.0.norm.weight"] = torch.ones(3)
        del tensors["performer.net.layers.2.0.fn.fast_attention.projection_matrix"]
        tensors["performer.net.layers.0.0.fn.local_attention.scale"] = torch.ones(2)
        tensors["other_head.weight"] = torch.ones(2)
        return tensors

    change(damage)
    with pytest.raises(CheckpointError) as error:
        model.checkpoint.load(folder, {}, 0)
    text = str(error.value)
    assert "3 backbone tensors do not match" in text
    assert "performer.layers.1.attention_norm.weight: 3 in the file, 12 needed" in text
    assert "performer.layers.2.projection: not in the file" in text
    assert "local_attention.scale: unknown" in text
    assert "other_head" not in text


@pytest.mark.parametrize("kept", [0, 10, 4000])
def test_truncated_file(model, saved, kept):
    folder, _, path, _ = saved
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"not a readable torch state dict .*truncated"):
        model.checkpoint.load(folder, {}, 0)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_with_code_is_refused_and_not_executed(model, saved, capsys):
    folder, _, path, _ = saved
    path.write_bytes(pickle.dumps({"model_state_dict": Evil()}, protocol=2))
    with pytest.raises(CheckpointError, match="names print, which is not allowed; nothing of it was executed"):
        model.checkpoint.load(folder, {}, 0)
    torch.save({"model_state_dict": Evil()}, path)
    with pytest.raises(CheckpointError, match="names print, which is not allowed; nothing of it was executed"):
        model.checkpoint.load(folder, {}, 0)
    assert "executed" not in capsys.readouterr().out


def test_foreign_files(model, saved):
    folder, _, path, change = saved
    other = {"scbert": "8 rows, that of scBERT has 7", "cellm": "7 rows, that of CellLM has 8"}[model.name]
    rows = {"scbert": 8, "cellm": 7}[model.name]
    change(lambda t: {**t, "token_emb.weight": torch.ones(rows, 12)})
    with pytest.raises(CheckpointError, match=other):
        model.checkpoint.load(folder, {}, 0)
    torch.save({"bert.embeddings.weight": torch.ones(2, 2)}, path)
    with pytest.raises(
        CheckpointError, match=r"no tensor performer\.net\.layers\.0\.0\.fn\.fast_attention\.projection_matrix"
    ):
        model.checkpoint.load(folder, {}, 0)
    torch.save({"model_state_dict": {"a": "text"}}, path)
    with pytest.raises(CheckpointError, match="expected a bare state dict"):
        model.checkpoint.load(folder, {}, 0)


def test_missing_files_are_asked_for_by_name(model, saved):
    folder, _, path, _ = saved
    (folder / model.checkpoint.GENES).unlink()
    with pytest.raises(CheckpointError, match=r"no gene order\..* put .*\.h5ad .*github\.com") as error:
        model.checkpoint.load(folder, {}, 0)
    assert {"scbert": "panglao_10000.h5ad", "cellm": "zheng68k_hgnc.h5ad"}[model.name] in str(error.value)
    with pytest.raises(CheckpointError, match="no gene order"):
        model.checkpoint.known_genes(folder)
    path.rename(folder / "one.pth")
    (folder / "two.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"several weight files \(one\.pth, two\.pth\)"):
        model.checkpoint.load(folder, {}, 0)
    with pytest.raises(CheckpointError, match=r"no three\.pth"):
        model.checkpoint.load(folder, {"weights_file": "three.pth"}, 0)
    (folder / "one.pth").unlink()
    (folder / "two.pth").unlink()
    with pytest.raises(CheckpointError, match=r"no \.pth or \.pt file; expected"):
        model.checkpoint.load(folder, {}, 0)


def test_classifier_round_trip(model, saved):
    folder, network, path, _ = saved
    torch.manual_seed(0)
    head = network.new_head(4, {"head_width": 8})
    assert isinstance(head, SlotHead)
    model.checkpoint.save(folder, network, model.make().vocabulary, head=head)
    loaded = model.checkpoint.load(folder, {}, 0)
    assert {name.split(".")[0] for name in loaded.report.left_out} == {"head"}
    again = model.checkpoint.load_head(folder, loaded.network)
    tokens = model.tokenize(loaded.vocabulary)
    batch = tensors_of(tokens, np.arange(6))
    torch.testing.assert_close(loaded.network.logits(again, batch), network.logits(head, batch))
    model.checkpoint.save(folder, network, model.make().vocabulary)
    with pytest.raises(CheckpointError, match="no classifier in this file"):
        model.checkpoint.load_head(folder, network)
    with pytest.raises(CheckpointError, match=r"first layer is 8 x .* expected 5 inputs"):
        head_from_tensors({f"head.{k}": v for k, v in head.state_dict().items()}, path, 5)
    assert "head.conv.weight" not in read_weights(path, model.checkpoint.HEADS)


def test_classifier_reads_each_gene_in_its_own_slot(model):
    made = model.make()
    head = made.network.new_head(3, {"head_width": 8})
    tokens = model.tokenize(made.vocabulary, verb="annotate", n_hvg=10)
    batch = tensors_of(tokens, np.arange(4))
    inputs = made.network.inputs(batch)
    ids = made.network.slots(inputs)
    slots = head.slots(torch.ones(ids.shape), ids)
    for i in range(4):
        filled = set(slots[i].nonzero().flatten().tolist())
        assert filled == {int(x) for x in ids[i] if x >= 0}
    assert made.network.logits(head, batch).shape == (4, 3)
    linear = model.make(head="linear").network
    assert linear.one_vector
    assert linear.new_head(3, {}).weight.shape == (3, 12)


def test_finetune_rule(model):
    network = model.make().network
    rule = network.finetune_rule()
    trains = {name.rpartition(".")[0] for name, _ in network.named_parameters() if rule(name)}
    block = {"scbert": 1, "cellm": 2}[model.name]
    assert all(name == "norm" or name.startswith(f"performer.layers.{block}.") for name in trains)
    assert len(trains) == 9
    one = model.make(depth=1).network
    assert any(one.finetune_rule()(name) for name, _ in one.named_parameters() if "layers.0" in name)
    assert all(network.get_parameter(name).dim() == 2 for name in network.attention_projections())


def test_pretraining_lowers_its_loss_and_is_seeded(model):
    def losses(seed):
        made = model.make(dropout=0.1)
        batch = tensors_of(model.tokenize(made.vocabulary), np.arange(24))
        network = made.network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
        torch.manual_seed(seed)
        seen = []
        for _ in range(15):
            loss, terms = network.pretraining_loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen.append(float(loss.detach()))
        return seen, terms

    first, terms = losses(0)
    assert np.mean(first[-5:]) < 0.9 * np.mean(first[:5])
    assert set(terms) == {"scbert": {"masked_token"}, "cellm": {"masked_token", "contrastive"}}[model.name]
    assert losses(0)[0] == first
    assert losses(1)[0] != first


def test_frozen_backbone_needs_no_graph(model):
    made = model.make()
    made.network.requires_grad_(False)
    head = made.network.new_head(3, {"head_width": 8})
    batch = tensors_of(model.tokenize(made.vocabulary), np.arange(5))
    loss = F.cross_entropy(made.network.logits(head, batch), torch.tensor([0, 1, 2, 0, 1]))
    loss.backward()
    assert all(p.grad is not None for p in head.parameters())
    assert not made.network.hidden(batch).requires_grad
