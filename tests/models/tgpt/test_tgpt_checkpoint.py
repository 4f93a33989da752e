"""Official folders: round trip, every spelling, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sceval.data.genes import Genes
from sceval.models.tgpt.checkpoint import known_genes, load, new, save
from sceval.models.tgpt.tokens import tokenize
from sceval.models.transformer.loading import write_safetensors
from sceval.models.transformer.problems import CheckpointError, UnfitCheckpoint


def vectors(made, network=None, vocabulary=None):
    network, vocabulary = network or made.network, vocabulary or made.vocabulary
    tokens = tokenize(made.counts, made.genes, made.cells, vocabulary, made.settings, 0)
    batch = {k: torch.from_numpy(v) for k, v in tokens.batch(np.arange(len(made.cells))).items()}
    with torch.no_grad():
        return network.encode(batch).numpy()


@pytest.fixture
def saved(small, tmp_path):
    made = small()
    save(tmp_path, made.network, made.vocabulary)
    made.folder = tmp_path
    return made


def rewrite(folder, change):
    tensors = change(torch.load(folder / "pytorch_model.bin", weights_only=True))
    torch.save(tensors, folder / "pytorch_model.bin")


def edit_config(folder, **changes):
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | changes))


def test_round_trip(saved):
    loaded = load(saved.folder, saved.settings, 1)
    assert loaded.vocabulary == saved.vocabulary
    np.testing.assert_array_equal(vectors(saved, *loaded[:2]), vectors(saved))
    assert loaded.report.new == {}
    assert loaded.report.notes == ()
    assert len(loaded.report.loaded) == len(loaded.network.state_dict())
    assert sorted(path.name for path in saved.folder.iterdir()) == [
        "config.json",
        "md5.txt",
        "pytorch_model.bin",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_file_stores_input_by_output(saved):
    tensors = torch.load(saved.folder / "pytorch_model.bin", weights_only=True)
    assert tensors["transformer.h.0.attn.c_attn.weight"].shape == (16, 48)
    assert tensors["transformer.h.1.mlp.c_fc.weight"].shape == (16, 64)
    assert torch.equal(tensors["lm_head.weight"], tensors["transformer.wte.weight"])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {k.removeprefix("transformer."): v for k, v in t.items() if k != "lm_head.weight"},
        lambda t: {f"module.{k}": v for k, v in t.items()},
        lambda t: (
            t
            | {"transformer.h.0.attn.bias": torch.ones(1, 1, 12, 12, dtype=torch.uint8)}
            | {"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}
        ),
        lambda t: {k: v.double() for k, v in t.items()},
    ],
    ids=["bare", "module", "masks", "float64"],
)
def test_spellings(saved, change):
    rewrite(saved.folder, change)
    loaded = load(saved.folder, saved.settings, 0)
    np.testing.assert_array_equal(vectors(saved, *loaded[:2]), vectors(saved))


def test_safetensors_alone(saved):
    tensors = torch.load(saved.folder / "pytorch_model.bin", weights_only=True)
    tensors.pop("lm_head.weight")
    write_safetensors(saved.folder / "model.safetensors", tensors)
    (saved.folder / "pytorch_model.bin").unlink()
    loaded = load(saved.folder, saved.settings, 0)
    np.testing.assert_array_equal(vectors(saved, *loaded[:2]), vectors(saved))
    assert [path.name for path in loaded.report.files] == ["model.safetensors"]


def test_an_untied_output_layer_is_told(saved):
    rewrite(saved.folder, lambda t: t | {"lm_head.weight": t["lm_head.weight"] + 1})
    assert "lm_head.weight differs" in load(saved.folder, saved.settings, 0).report.notes[-1]


def test_another_file_than_the_digest_beside_it_is_told(saved):
    rewrite(saved.folder, lambda t: {name: value + 1 for name, value in t.items()})
    (note,) = load(saved.folder, saved.settings, 0).report.notes
    assert "not the file published" in note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {k: v for k, v in t.items() if "h.1.mlp.c_fc.bias" not in k}, "layers.1.mlp.c_fc.bias: not in the"),
        (lambda t: t | {"transformer.h.2.ln_1.bias": torch.zeros(16)}, "layers.2.ln_1.bias: unknown to the network"),
        (lambda t: t | {"transformer.ln_f.weight": torch.zeros(8)}, "ln_f.weight: 8 in the file, 16 needed"),
        (lambda t: t | {"transformer.h.0.attn.c_attn.weight": torch.zeros(48, 16)}, "c_attn.weight: 16 x 48 in the"),
        (lambda t: {"encoder.embedding.weight": torch.zeros(3, 4)}, "wte.weight: not in the file"),
        (lambda t: {"model": t}, "expected a bare state dict"),
        (lambda t: t | {"wte.weight": torch.zeros(3)}, "there twice"),
    ],
    ids=["missing", "further", "misshapen", "transposed", "foreign", "nested", "twice"],
)
def test_unfit_tensors_are_listed(saved, change, message):
    rewrite(saved.folder, change)
    with pytest.raises(CheckpointError, match=message):
        load(saved.folder, saved.settings, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 3}, "layers.2.attn.c_attn.weight: not in the file"),
        ({"n_embd": 32, "n_head": 4}, "wte.weight: 34 x 16 in the file, 34 x 32 needed"),
        ({"n_head": 3}, "not divisible by 3"),
        ({"vocab_size": 20}, "different models"),
        ({"model_type": "bert"}, "tGPT is a gpt2"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"n_layer": "many"}, "invalid literal"),
    ],
)
def test_another_size_than_the_config(saved, change, message):
    edit_config(saved.folder, **change)
    with pytest.raises(CheckpointError, match=message):
        load(saved.folder, saved.settings, 0)


def test_truncated_and_missing_files(saved):
    path = saved.folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="truncated"):
        load(saved.folder, saved.settings, 0)
    path.unlink()
    with pytest.raises(CheckpointError, match="a tGPT checkpoint is a folder with"):
        load(saved.folder, saved.settings, 0)


class Forbidden:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_forbidden_class_is_not_executed(saved, capsys):
    torch.save({"transformer.wte.weight": Forbidden()}, saved.folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="print, which is not allowed"):
        load(saved.folder, saved.settings, 0)
    assert "executed" not in capsys.readouterr().out


def test_more_positions_than_the_model_has(saved):
    with pytest.raises(UnfitCheckpoint, match="max_length is 13, the model has 12 positions"):
        load(saved.folder, saved.settings | {"max_length": 13}, 0)


def test_dropout_of_file_and_setting(saved):
    edit_config(saved.folder, attn_pdrop=0.3)
    told = load(saved.folder, {"max_length": 12}, 0).network.config
    assert (told.attention_dropout, told.residual_dropout) == (0.3, 0.0)
    assert load(saved.folder, {"max_length": 12, "dropout": 0.2}, 0).network.config.attention_dropout == 0.2


def test_new_networks_repeat_with_the_seed():
    genes = Genes.from_symbols(["A", "B", "A"])
    first, again, other = (new(genes, {"d_model": 8, "n_heads": 2}, seed).network for seed in (0, 0, 1))
    assert torch.equal(first.wte.weight, again.wte.weight)
    assert not torch.equal(first.wte.weight, other.wte.weight)
    assert first.config.n_tokens == 6


def test_known_genes_in_every_spelling_without_torch(saved):
    import subprocess
    import sys

    assert {"HLA_DRA", "HLA-DRA", "HLA.DRA", "GENE0"} <= set(known_genes(saved.folder))
    code = "import sys, sceval.models.tgpt.checkpoint, sceval.models.tgpt.program; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pretraining_learns(small):
    """The causal loss falls, and padding has no part in it."""
    made = small(n_cells=16)
    tokens = tokenize(made.counts, made.genes, made.cells, made.vocabulary, made.settings, 0)
    batch = {k: torch.from_numpy(v) for k, v in tokens.batch(np.arange(16)).items()}
    network = made.network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    losses = []
    for _ in range(20):
        loss, terms = network.pretraining_loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(terms["causal_lm"])
    assert losses[-1] < losses[0] - 0.2
    longer = {"input_ids": torch.nn.functional.pad(batch["input_ids"][:, :8], (0, 4)), "lengths": batch["lengths"]}
    longer["lengths"] = longer["lengths"].clamp(max=8)
    short = {"input_ids": batch["input_ids"][:, :8], "lengths": longer["lengths"]}
    with torch.no_grad():
        torch.testing.assert_close(network.pretraining_loss(longer)[0], network.pretraining_loss(short)[0])
