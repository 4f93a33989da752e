"""Official files of Performer language models: found in a folder, read, checked, written."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from sceval.models.performer.head import SlotHead
from sceval.models.performer.keys import config_from_tensors, is_backbone, native_name, official_name
from sceval.models.performer.language_model import LanguageModelConfig, PerformerLM
from sceval.models.transformer.loading import CheckpointError, LoadReport, fill, read_state_dict, respell, shape_of

if TYPE_CHECKING:
    from torch import Tensor

INSIDE = ("model_state_dict", "state_dict", "model")
_PREFIX = re.compile(r"^(module\.|encoder\.)+")
T = TypeVar("T", bound=PerformerLM)


def find_weights(folder: Path, usual: Sequence[str], given: str = "") -> Path:
    """Find the weights in a folder: the named file, else one with a usual name, else the only .pth or .pt file.

    Raises
    ------
    CheckpointError
        None, or several without a usual name.
    """
    if given:
        if not (folder / given).is_file():
            raise CheckpointError(f"{folder}: no {given}, which the parameter weights_file names")
        return folder / given
    for name in usual:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path for pattern in ("*.pth", "*.pt") for path in folder.glob(pattern))
    if len(files) == 1:
        return files[0]
    found = f"several weight files ({', '.join(path.name for path in files)})" if files else "no .pth or .pt file"
    raise CheckpointError(
        f"{folder}: {found}; expected {usual[0]}, a single .pth file, or the parameter weights_file with its name"
    )


def read_weights(path: Path, heads: Mapping[str, str]) -> dict[str, Tensor]:
    """Read tensors under our names, classifiers under ``head.``; wrapped and prefixed files are understood.

    Parameters
    ----------
    path
        The file.
    heads
        Beginning of an official name of a part of the classifier -> ours (``to_out.conv1.`` -> ``head.conv.``).
    """

    def native(key: str) -> str:
        name = _PREFIX.sub("", key)
        for official, ours in heads.items():
            if name.startswith(official):
                return ours + name.removeprefix(official)
        return native_name(name)

    tensors = respell(read_state_dict(path, INSIDE), native, path)
    if "head.conv.weight" in tensors:  # a convolution 1 x 1 x 1 x width, which is a linear layer
        tensors["head.conv.weight"] = tensors["head.conv.weight"].reshape(1, -1)
    return tensors


def load_network(
    kind: type[T],
    name: str,
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    n_tokens: int,
    special_rows: int,
    behavior: Mapping[str, Any],
    use: Mapping[str, Any],
    seed: int,
) -> tuple[T, LoadReport]:
    """Build the network that the tensors describe and fill it.

    Parameters
    ----------
    kind, name
        The class, and the model's name for messages.
    path, tensors
        The file and what it holds (our names).
    n_tokens, special_rows
        Rows that the token table must have, and rows of the gene table that are no genes.
    behavior, use
        More fields of the configurations of the stack and of the network.
    seed
        For what the file lacks.

    Raises
    ------
    CheckpointError
        Another model's file, or the list of backbone tensors that do not fit.
    """
    try:
        stack = config_from_tensors(tensors, **behavior)
        found_tokens, found_rows = (len(tensors[f"{part}.weight"]) for part in ("token_emb", "pos_emb"))
    except KeyError as error:
        raise CheckpointError(
            f"{path}: no tensor {official_name(error.args[0])}; this is no {name} file (it begins with "
            f"{', '.join(map(official_name, list(tensors)[:3]))})"
        ) from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: the tensors are not those of a {name} network: {error}") from error
    if found_tokens != n_tokens:
        raise CheckpointError(
            f"{path}: the token table has {found_tokens} rows, that of {name} has {n_tokens}; this is another model"
        )
    if found_rows <= special_rows:
        raise CheckpointError(f"{path}: the gene table has {found_rows} rows, of which {special_rows} are no genes")
    network = build(kind, LanguageModelConfig(stack, n_tokens, found_rows, **use), seed)
    report = fill(network, tensors, is_backbone=is_backbone, where=path, files=(path,))
    return network.eval(), report


def build(kind: type[T], config: LanguageModelConfig, seed: int) -> T:
    """Make a network with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config, seed)


def head_from_tensors(tensors: Mapping[str, Tensor], path: Path, n_slots: int) -> SlotHead:
    """Make the classifier of a fine-tuned file.

    Raises
    ------
    CheckpointError
        The file has none, or one of another shape.
    """
    own = {key.removeprefix("head."): value for key, value in tensors.items() if key.startswith("head.")}
    sizes = [own.get(f"{layer}.weight") for layer in ("conv", "fc1", "fc2", "fc3")]
    if any(size is None for size in sizes):
        raise CheckpointError(f"{path}: no classifier in this file (it has {', '.join(own) or 'no part of one'})")
    conv, fc1, fc2, fc3 = sizes
    if fc1.shape[1] != n_slots:
        raise CheckpointError(f"{path}: the classifier's first layer is {shape_of(fc1)}; expected {n_slots} inputs")
    head = SlotHead(conv.shape[1], n_slots, (len(fc1), len(fc2)), len(fc3))
    fill(head, own, where=path)
    return head.eval()


def write_weights(
    path: Path, network: PerformerLM, *, head: SlotHead | None = None, rename: Callable[[str], str] = str
) -> None:
    """Write a network in the official layout; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file; its folder is made if absent.
    network, head
        What to write; a classifier stands where the official fine-tuned files have it.
    rename
        From ``head.fc1.weight`` (and the like) to the official name; also given the names of the backbone.
    """
    tensors = {official_name(key): value for key, value in network.state_dict().items()}
    # The official table comes from a float64 file and stays float64.
    tensors["pos_emb.emb.weight"] = tensors["pos_emb.emb.weight"].double()
    if head is not None:
        tensors |= {f"head.{key}": value for key, value in head.state_dict().items()}
        tensors["head.conv.weight"] = tensors["head.conv.weight"].reshape(1, 1, 1, -1)
    ready = {rename(key): value.detach().cpu().contiguous() for key, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        torch.save({"model_state_dict": ready}, Path(work) / path.name)
        (Path(work) / path.name).replace(path)
