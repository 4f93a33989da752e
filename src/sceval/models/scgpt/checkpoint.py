"""Official checkpoint folders (args.json, best_model.pt, vocab.json): read, checked, written.

Upstream loads what matches by name and shape and skips the rest without a word, so that a file in another spelling
gives random attention. Here every backbone tensor is matched or loading fails with the list of what is wrong, and what
was loaded, left out and newly made among the heads is reported.
"""

from __future__ import annotations

import json
import pickle
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sceval.models.scgpt.config import ScGPTConfig
from sceval.models.scgpt.keys import UNUSED, config_from_tensors, flash_name, native_name
from sceval.models.scgpt.network import BACKBONE, ScGPT
from sceval.models.scgpt.vocabulary import PAD, Vocabulary, VocabularyError

ARGS, WEIGHTS, VOCAB = "args.json", "best_model.pt", "vocab.json"


class CheckpointError(ValueError):
    """A checkpoint folder cannot be used; the message says what was found and what would be right."""


class UnfitCheckpoint(CheckpointError):
    """A sound checkpoint that cannot be used for what is asked."""


@dataclass(frozen=True)
class LoadReport:
    """Which tensors were taken over.

    Parameters
    ----------
    loaded
        Names (PyTorch spelling) of tensors that were copied from the file.
    left_out
        Name and reason for tensors of the file that the network does not use.
    new
        Name and reason for tensors of the network that the file could not supply: they start from random values.
    notes
        Anything else worth telling, e.g. args.json contradicting the tensors.
    """

    loaded: tuple[str, ...]
    left_out: dict[str, str]
    new: dict[str, str]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for run.json."""
        return {
            "loaded": len(self.loaded),
            "left_out": dict(self.left_out),
            "new": dict(self.new),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class CheckpointFiles:
    """What a checkpoint folder holds: arguments, vocabulary, tensors (PyTorch spelling), the network it describes."""

    args: dict[str, Any]
    vocabulary: Vocabulary
    tensors: dict[str, Tensor]
    config: ScGPTConfig
    notes: tuple[str, ...]


def _read_args(path: Path) -> dict[str, Any]:
    try:
        args = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(args, dict) or "nheads" not in args:
        raise CheckpointError(f"{path}: expected a JSON object with at least 'nheads'; this is no scGPT args.json")
    style = args.get("input_emb_style", "continuous")
    if style != "continuous":
        raise CheckpointError(f"{path}: input_emb_style is {style!r}; only 'continuous' (all released models) works")
    if args.get("pre_norm"):
        raise CheckpointError(f"{path}: pre_norm is set; only post-norm models (all released ones) work")
    return args


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a bare state dict without executing anything in it, in PyTorch spelling.

    Raises
    ------
    CheckpointError
        The file is truncated, no torch file, holds anything but tensors, or two names mean the same tensor.
    """
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        size = path.stat().st_size
        raise CheckpointError(
            f"{path}: not a readable torch state dict of plain tensors ({size} bytes; truncated, or another format): "
            f"{reason[:200]}"
        ) from error
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        kind = f"dict with keys {list(content)[:5]}" if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path}: expected a bare state dict (name -> tensor), found {kind}")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = native_name(key)
        if name in tensors:
            raise CheckpointError(f"{path}: tensor {name} is there twice, under two spellings (second: {key})")
        tensors[name] = value.float() if value.is_floating_point() else value
    return tensors


def read_checkpoint(folder: str | Path) -> CheckpointFiles:
    """Read a checkpoint folder and work out which network it holds.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, or the tensors are those of another model.
    """
    folder = Path(folder)
    missing = [name for name in (ARGS, WEIGHTS, VOCAB) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: no {', '.join(missing)}; a scGPT checkpoint is a folder with {ARGS}, {WEIGHTS} and {VOCAB}"
        )
    args = _read_args(folder / ARGS)
    try:
        vocabulary = Vocabulary.read(folder / VOCAB, args.get("pad_token") or PAD)
    except VocabularyError as error:
        raise CheckpointError(str(error)) from error
    tensors = read_tensors(folder / WEIGHTS)
    try:
        config = config_from_tensors(tensors, args, vocabulary.pad_id)
    except KeyError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS}: no tensor {error.args[0]}; this is no scGPT file (it begins with "
            f"{', '.join(list(tensors)[:3])})"
        ) from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{folder}: {ARGS} and {WEIGHTS} do not fit together: {error}") from error
    if max(vocabulary.ids.values()) >= config.n_tokens:
        raise CheckpointError(
            f"{folder}: {VOCAB} has ids up to {max(vocabulary.ids.values())}, but the gene table has "
            f"{config.n_tokens} rows; the two files belong to different models"
        )
    told = {"embsize": config.d_model, "d_hid": config.d_ff, "nlayers": config.n_layers}
    notes = tuple(
        f"{ARGS} says {key} {args[key]}, the tensors say {size}; the tensors were followed"
        for key, size in told.items()
        if key in args and args[key] != size
    )
    return CheckpointFiles(args, vocabulary, tensors, config, notes)


def is_backbone(name: str) -> bool:
    """Whether a tensor (PyTorch spelling) belongs to the backbone, as opposed to a head or a batch term."""
    return name.split(".", 1)[0] in BACKBONE


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "scalar"


def fill(model: ScGPT, tensors: Mapping[str, Tensor], notes: tuple[str, ...] = ()) -> LoadReport:
    """Copy tensors into a network; heads of another shape stay as they are and are reported, the backbone must match.

    Raises
    ------
    CheckpointError
        Lists every backbone tensor that is missing, of another shape, or unknown to the network.
    """
    own = model.state_dict()
    wrong, left_out, new, loaded = [], {}, {}, {}
    for name, value in own.items():
        if name not in tensors:
            reason = "not in the file"
        elif tensors[name].shape != value.shape:
            reason = f"{_shape(tensors[name])} in the file, {_shape(value)} needed"
        else:
            loaded[name] = tensors[name]
            continue
        if is_backbone(name):
            wrong.append(f"{name}: {reason}")
        else:
            new[name] = reason
    for name in tensors:
        if name in loaded:
            continue
        if name in own:
            left_out[name] = f"{_shape(tensors[name])} in the file, {_shape(own[name])} needed"
        elif is_backbone(name):
            wrong.append(f"{name}: unknown to the network, {_shape(tensors[name])} in the file")
        else:
            left_out[name] = "read by pre-training only" if name in UNUSED else "this network has no such part"
    if wrong:
        raise CheckpointError(f"{len(wrong)} backbone tensors do not match:\n  " + "\n  ".join(sorted(set(wrong))))
    model.load_state_dict({**own, **loaded})
    return LoadReport(tuple(loaded), left_out, new, notes)


def load_checkpoint(
    folder: str | Path, *, seed: int = 0, **changes: Any
) -> tuple[ScGPT, Vocabulary, LoadReport, CheckpointFiles]:
    """Load a checkpoint folder into a network.

    Parameters
    ----------
    folder
        Folder with args.json, best_model.pt, vocab.json.
    seed
        Seed for the weights of heads that the file lacks.
    **changes
        Fields of :class:`ScGPTConfig` to change against the file (``n_classes=7``): tensors that then no longer fit
        are reported as left out and new.

    Returns
    -------
    model, vocabulary, report, files
        The network is in evaluation mode.
    """
    files = read_checkpoint(folder)
    if files.config.batch_norm and changes.get("n_domains"):
        raise UnfitCheckpoint(
            f"{folder}: this checkpoint has a batch normalization of its own (bn.*, versions before 0.2), and "
            "per-batch normalization (DSBN) would replace it; switch `dsbn` off, or use a newer checkpoint"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ScGPT(replace(files.config, **changes))
    report = fill(model, files.tensors, files.notes)
    return model.eval(), files.vocabulary, report, files


def save_checkpoint(
    folder: str | Path,
    model: ScGPT,
    vocabulary: Vocabulary,
    *,
    args: Mapping[str, Any] | None = None,
    spelling: str = "native",
) -> None:
    """Write a network in the official layout; every file appears whole or not at all.

    Parameters
    ----------
    folder
        Made if absent.
    args
        More entries for args.json (a recipe, batch names).
    spelling
        ``native`` (PyTorch names) or ``flash`` (names of the official whole-human file).
    """
    if spelling not in ("native", "flash"):
        raise ValueError(f"unknown spelling {spelling!r}; choose native or flash")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    c = model.config
    told = {
        "pad_token": vocabulary.pad_token,
        "input_style": "binned",
        "input_emb_style": "continuous",
        "mask_value": -1,
        "pad_value": -2,
        "nlayers": c.n_layers,
        "nheads": c.n_heads,
        "embsize": c.d_model,
        "d_hid": c.d_ff,
        "dropout": c.dropout,
        "n_layers_cls": c.n_cls_layers,
        "MVC": c.mvc,
        **({"pert_pad_id": c.pert_pad_id} if c.n_perts else {}),
    }
    rename = flash_name if spelling == "flash" else str
    tensors = {rename(k): v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        (Path(work) / ARGS).write_text(json.dumps({"n_bins": 51, **(args or {}), **told}, indent=2), encoding="utf-8")
        vocabulary.write(Path(work) / VOCAB)
        torch.save(tensors, Path(work) / WEIGHTS)
        for name in (ARGS, VOCAB, WEIGHTS):
            (Path(work) / name).replace(folder / name)
