"""Checkpoint files: nothing in them is executed, and the backbone matches or loading fails with the list."""

from __future__ import annotations

import collections
import hashlib
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sceval.models.transformer import loading
from sceval.models.transformer.loading import CheckpointError


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"body": nn.Linear(3, 4), "head": nn.Linear(4, 2)})


def _backbone(name: str) -> bool:
    return name.startswith("body")


def test_a_matching_file_is_taken_over_whole(tmp_path):
    source, target = _network(), _network()
    for parameter in source.parameters():
        nn.init.normal_(parameter)
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    tensors = loading.read_state_dict(tmp_path / "weights.pt")
    report = loading.fill(target, tensors, is_backbone=_backbone, files=[tmp_path / "weights.pt"])
    assert len(report.loaded) == 4
    assert not report.new
    assert not report.left_out
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))
    assert report.sha256() == hashlib.sha256((tmp_path / "weights.pt").read_bytes()).hexdigest()


def test_every_wrong_backbone_tensor_is_listed_and_nothing_is_copied():
    network = _network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tensors = {"body.weight": torch.zeros(4, 5), "body.extra": torch.zeros(2), "head.weight": torch.zeros(2, 4)}
    with pytest.raises(CheckpointError) as caught:
        loading.fill(network, tensors, is_backbone=_backbone, where="folder")
    text = str(caught.value)
    assert "3 backbone tensors" in text
    assert "body.weight: 4 x 5 in the file, 4 x 3 needed" in text
    assert "body.bias: not in the file" in text
    assert "body.extra: unknown to the network" in text
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_heads_may_differ_and_are_reported():
    network = _network()
    tensors = dict(network.state_dict()) | {"head.weight": torch.zeros(9, 4), "decoder.weight": torch.zeros(1)}
    del tensors["head.bias"]
    tensors["body.position_ids"] = torch.arange(3)
    report = loading.fill(network, tensors, is_backbone=_backbone, unused={"body.position_ids": "a buffer"})
    assert report.new == {"head.weight": "9 x 4 in the file, 2 x 4 needed", "head.bias": "not in the file"}
    assert set(report.left_out) == {"head.weight", "decoder.weight", "body.position_ids"}


def test_two_spellings_of_one_tensor_are_refused():
    with pytest.raises(CheckpointError, match="twice"):
        loading.respell({"module.a": torch.zeros(1), "a": torch.zeros(1)}, lambda k: k.removeprefix("module."), "f")


def test_state_dict_below_a_key_and_half_precision(tmp_path):
    torch.save({"epoch": 3, "model_state_dict": {"a": torch.ones(2, dtype=torch.float16)}}, tmp_path / "a.pth")
    tensors = loading.read_state_dict(tmp_path / "a.pth", inside=("model_state_dict",))
    assert tensors["a"].dtype == torch.float32
    with pytest.raises(CheckpointError, match=r"expected a bare state dict.*epoch"):
        loading.read_state_dict(tmp_path / "a.pth")


class _Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("read", [loading.read_torch, loading.read_allowed_pickle])
def test_a_pickle_that_calls_something_is_refused(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    if read is loading.read_torch:
        torch.save({"a": _Evil()}, "evil.pt")
    else:
        (tmp_path / "evil.pt").write_bytes(pickle.dumps({"a": _Evil()}))
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read("evil.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_plain_dictionaries_with_numpy_numbers_are_read(tmp_path, protocol):
    content = collections.OrderedDict(ENSG1=np.float64(1.5), ENSG2=np.int64(4), names=["a", ("b", {1, 2})])
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    assert loading.read_allowed_pickle(tmp_path / "d.pkl") == content


def test_numpy_1_spelling_is_read(tmp_path):
    data = pickle.dumps({"a": np.float64(2.5)}, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    (tmp_path / "d.pkl").write_bytes(data)
    assert loading.read_allowed_pickle(tmp_path / "d.pkl") == {"a": 2.5}


def test_further_names_are_read_only_where_they_are_allowed(tmp_path):
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(collections.Counter("aab")))
    with pytest.raises(CheckpointError, match=r"collections\.Counter"):
        loading.read_allowed_pickle(tmp_path / "d.pkl")
    assert loading.read_allowed_pickle(tmp_path / "d.pkl", allow=["collections.Counter"])["a"] == 2


@pytest.mark.parametrize("read", [loading.read_torch, loading.read_allowed_pickle, loading.read_safetensors])
def test_truncated_files_and_other_formats_are_named(tmp_path, read):
    (tmp_path / "whole.safetensors").write_bytes(b"")
    if read is loading.read_torch:
        torch.save({"a": torch.zeros(100)}, tmp_path / "whole.safetensors")
    elif read is loading.read_allowed_pickle:
        (tmp_path / "whole.safetensors").write_bytes(pickle.dumps({"a": "b" * 100}))
    else:
        loading.write_safetensors(tmp_path / "whole.safetensors", {"a": torch.zeros(100)})
    whole = (tmp_path / "whole.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>404</html>", b""):
        (tmp_path / "part").write_bytes(content)
        with pytest.raises(CheckpointError, match="part"):
            read(tmp_path / "part")
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "absent")


def test_safetensors_keep_types_shapes_and_values(tmp_path):
    torch.manual_seed(0)
    tensors = {
        "a.weight": torch.randn(3, 5),
        "half": torch.randn(4).half(),
        "brain": torch.randn(2, 2, 2).bfloat16(),
        "ids": torch.arange(7),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
    }
    loading.write_safetensors(tmp_path / "model.safetensors", tensors)
    back = loading.read_safetensors(tmp_path / "model.safetensors")
    assert list(back) == list(tensors)
    for name, value in tensors.items():
        assert back[name].dtype == value.dtype
        assert torch.equal(back[name], value)
    state = loading.read_state_dict(tmp_path / "model.safetensors")
    assert state["brain"].dtype == torch.float32


def test_safetensors_offsets_are_checked(tmp_path):
    path = tmp_path / "model.safetensors"
    loading.write_safetensors(path, {"a": torch.zeros(4)})
    path.write_bytes(path.read_bytes().replace(b'"shape": [4]', b'"shape": [5]'))
    with pytest.raises(CheckpointError, match="does not fit"):
        loading.read_safetensors(path)


def test_missing_files_are_all_named(tmp_path):
    (tmp_path / "args.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"no b\.json, c\.pt; a folder with three"):
        loading.require_files(tmp_path, ["args.json", "b.json", "c.pt"], "a folder with three")
