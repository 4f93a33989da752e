from __future__ import annotations

import json
import pickle

import pytest
import torch

from sceval.models.scgpt.checkpoint import CheckpointError, load_checkpoint, read_checkpoint, save_checkpoint
from sceval.models.scgpt.keys import native_name

FULL = {"n_batches": 3, "n_domains": 3, "zero_prob": True, "discriminator": 3, "n_classes": 4}
SPELLINGS = {
    "native": str,
    "flash": lambda k: k.replace("in_proj_weight", "Wqkv.weight").replace("in_proj_bias", "Wqkv.bias"),
    "impl": lambda k: (
        k.replace("in_proj_weight", "_impl.Wqkv.weight")
        .replace("in_proj_bias", "_impl.Wqkv.bias")
        .replace("self_attn.out_proj", "self_attn._impl.out_proj")
    ),
    "module": lambda k: "module." + k,
}


@pytest.fixture
def saved(small, tmp_path):
    """Save a small network; returns folder, network and a function that changes the tensors of the file."""

    def make(**changes):
        made = small(**changes)
        folder = tmp_path / f"ckpt{len(list(tmp_path.iterdir()))}"
        save_checkpoint(folder, made.model, made.vocabulary)
        return folder, made.model

    return make


def change(folder, function):
    path = folder / "best_model.pt"
    torch.save(function(torch.load(path, weights_only=True)), path)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("changes", [FULL, {"batch_norm": True}, {"n_perts": 3, "decoder": "affine", "mvc": False}])
def test_every_spelling_gives_the_same_network(saved, spelling, changes):
    folder, model = saved(**changes)
    change(folder, lambda t: {SPELLINGS[spelling](k): v for k, v in t.items()})
    loaded, _, report, _ = load_checkpoint(folder)
    assert loaded.config == model.config
    assert report.new == {}
    assert report.left_out == {}
    assert set(report.loaded) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert not loaded.training


def test_all_parity_files_load_whole(parity):
    for name, told in parity.settings["checkpoints"].items():
        model, vocabulary, report, files = load_checkpoint(parity.folder / name)
        assert report.new == {}, name
        assert set(report.left_out) <= {"flag_encoder.weight"}, name
        assert len(vocabulary) == model.config.n_tokens == parity.settings["vocab_size"]
        assert model.config.n_domains == (told.get("n_batches", 0) if told.get("dsbn") else 0)
        assert model.config.batch_norm == told.get("batchnorm", False)
        assert model.config.zero_prob == told.get("explicit_zero_prob", False)
        assert model.config.n_classes == told.get("n_cls", model.config.n_classes)
        assert len(report.loaded) + len(report.left_out) == len(files.tensors)


@pytest.mark.parametrize("spelling", ["native", "flash"])
def test_what_is_saved_is_loaded_again(small, tmp_path, spelling):
    made = small(**FULL)
    save_checkpoint(tmp_path / "c", made.model, made.vocabulary, args={"batches": ["a", "b", "c"]}, spelling=spelling)
    names = list(torch.load(tmp_path / "c" / "best_model.pt", weights_only=True))
    assert any("Wqkv" in n for n in names) == (spelling == "flash")
    loaded, vocabulary, _, files = load_checkpoint(tmp_path / "c")
    assert files.args["batches"] == ["a", "b", "c"]
    assert vocabulary.ids == made.vocabulary.ids
    assert all(torch.equal(v, made.model.state_dict()[k]) for k, v in loaded.state_dict().items())
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["args.json", "best_model.pt", "vocab.json"]


def test_another_class_count_is_told_as_new_and_seeded(saved):
    folder, model = saved(n_classes=4)
    first, _, report, _ = load_checkpoint(folder, seed=1, n_classes=7)
    assert set(report.new) == {"cls_decoder.out_layer.weight", "cls_decoder.out_layer.bias"}
    assert "4 x 16 in the file, 7 x 16 needed" in report.new["cls_decoder.out_layer.weight"]
    assert set(report.left_out) == set(report.new)
    assert torch.equal(first.cls_decoder._decoder[0].weight, model.cls_decoder._decoder[0].weight)
    second = load_checkpoint(folder, seed=1, n_classes=7)[0]
    third = load_checkpoint(folder, seed=2, n_classes=7)[0]
    assert torch.equal(first.cls_decoder.out_layer.weight, second.cls_decoder.out_layer.weight)
    assert not torch.equal(first.cls_decoder.out_layer.weight, third.cls_decoder.out_layer.weight)


def test_unmatched_backbone_tensors_fail_with_the_whole_list(saved):
    folder, _ = saved()

    def damage(tensors):
        tensors["transformer_encoder.layers.0.norm1.weight"] = torch.ones(3)
        del tensors["transformer_encoder.layers.1.self_attn.in_proj_weight"]
        tensors["encoder.strange"] = torch.ones(2)
        tensors["other_head.weight"] = torch.ones(2)
        return tensors

    change(folder, damage)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder)
    text = str(error.value)
    assert "3 backbone tensors do not match" in text
    assert "layers.0.norm1.weight: 3 in the file, 16 needed" in text
    assert "layers.1.self_attn.in_proj_weight: not in the file" in text
    assert "encoder.strange: unknown" in text
    assert "other_head" not in text


def test_batch_normalization_of_old_files_is_never_dropped_in_silence(saved):
    folder, _ = saved(batch_norm=True)
    with pytest.raises(CheckpointError, match=r"bn\.running_mean: unknown to the network"):
        load_checkpoint(folder, batch_norm=False)


def test_heads_that_the_network_lacks_are_left_out_with_a_reason(saved):
    folder, _ = saved(**FULL)
    _, _, report, _ = load_checkpoint(folder, n_classes=0, discriminator=0)
    assert "cls_decoder.out_layer.weight" in report.left_out
    assert "grad_reverse_discriminator.out_layer.bias" in report.left_out
    assert report.as_dict()["loaded"] == len(report.loaded)


def test_the_fixed_row_of_perturbation_flags_is_found(saved):
    folder, _ = saved(n_perts=3, pert_pad_id=2, decoder="affine", mvc=False)

    def forget(tensors):
        tensors["pert_encoder.weight"][2] = 0
        return tensors

    change(folder, forget)
    args = json.loads((folder / "args.json").read_text())
    assert args.pop("pert_pad_id") == 2
    (folder / "args.json").write_text(json.dumps(args))
    assert load_checkpoint(folder)[0].pert_encoder.padding_idx == 2


def test_sizes_come_from_the_tensors_and_contradictions_are_noted(saved):
    folder, model = saved()
    args = json.loads((folder / "args.json").read_text())
    (folder / "args.json").write_text(json.dumps({**args, "embsize": 512, "nlayers": 12}))
    loaded, _, report, _ = load_checkpoint(folder)
    assert loaded.config == model.config
    assert len(report.notes) == 2
    assert "embsize 512, the tensors say 16" in report.notes[0]


@pytest.mark.parametrize("kept", [0, 10, 4000])
def test_truncated_file(saved, kept):
    folder, _ = saved()
    path = folder / "best_model.pt"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"best_model\.pt: not a readable torch state dict .*truncated"):
        read_checkpoint(folder)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_with_code_is_refused_and_not_executed(saved, capsys):
    folder, _ = saved()
    (folder / "best_model.pt").write_bytes(pickle.dumps({"encoder.embedding.weight": Evil()}))
    with pytest.raises(CheckpointError, match="not a readable torch state dict"):
        read_checkpoint(folder)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"bert.embeddings.weight": torch.ones(2, 2)}, "no tensor encoder.embedding.weight; this is no scGPT file"),
        ({"model": {"a": torch.ones(1)}}, "expected a bare state dict"),
        (torch.ones(3), "found Tensor"),
        ({}, "expected a bare state dict"),
    ],
)
def test_foreign_file(saved, content, message):
    folder, _ = saved()
    torch.save(content, folder / "best_model.pt")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


def test_missing_files_and_foreign_args(saved, tmp_path):
    folder, _ = saved()
    with pytest.raises(CheckpointError, match=r"no args\.json, best_model\.pt, vocab\.json"):
        read_checkpoint(tmp_path / "nowhere")
    (folder / "args.json").write_text('{"hidden_size": 3}')
    with pytest.raises(CheckpointError, match=r"this is no scGPT args\.json"):
        read_checkpoint(folder)
    (folder / "args.json").write_text('{"nheads": 2, "input_emb_style": "category"}')
    with pytest.raises(CheckpointError, match="only 'continuous'"):
        read_checkpoint(folder)
    (folder / "args.json").write_text('{"nheads": 3}')
    with pytest.raises(CheckpointError, match="not divisible by 3 attention heads"):
        read_checkpoint(folder)


def test_vocabulary_of_another_model(saved):
    folder, _ = saved()
    (folder / "vocab.json").write_text(json.dumps({f"G{i}": i for i in range(500)}))
    with pytest.raises(CheckpointError, match="the two files belong to different models"):
        read_checkpoint(folder)


def test_one_tensor_under_two_names(saved):
    folder, _ = saved()
    change(folder, lambda t: {**t, "module.encoder.enc_norm.bias": t["encoder.enc_norm.bias"]})
    with pytest.raises(CheckpointError, match=r"enc_norm\.bias is there twice"):
        read_checkpoint(folder)


def test_names():
    assert native_name("module.a.self_attn._impl.Wqkv.bias") == "a.self_attn.in_proj_bias"
    assert native_name("a.self_attn.out_proj.weight") == "a.self_attn.out_proj.weight"
