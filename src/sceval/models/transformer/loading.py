"""Official checkpoint files into a network: read without executing anything, matched by name and shape, reported.

Upstream codes load what matches by name and shape and skip the rest without a word, so that a file in another spelling
gives random attention. Here every backbone tensor is matched or loading fails with the list of what is wrong.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sceval.models.transformer.pickles import read_allowed_pickle as read_allowed_pickle
from sceval.models.transformer.problems import CheckpointError as CheckpointError
from sceval.models.transformer.problems import UnfitCheckpoint as UnfitCheckpoint
from sceval.models.transformer.safetensors import read_safetensors as read_safetensors
from sceval.models.transformer.safetensors import write_safetensors as write_safetensors

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LoadReport:
    """Which tensors were taken over.

    Attributes
    ----------
    loaded
        Names (the network's) of tensors that were copied from the file.
    left_out
        Name and reason for tensors of the file that the network does not use.
    new
        Name and reason for tensors of the network that the file could not supply: they start from random values.
    notes
        Anything else worth telling, for example a config that contradicts the tensors; they become warnings.
    files
        Weight files that were read; their sha256 goes into the facts of the run.
    """

    loaded: tuple[str, ...]
    left_out: dict[str, str]
    new: dict[str, str]
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for run.json."""
        return {
            "loaded": len(self.loaded),
            "left_out": dict(self.left_out),
            "new": dict(self.new),
            "notes": list(self.notes),
        }

    def sha256(self) -> str | None:
        """Digest of the weight files: the file's own where there is one, else of the digests in order of names."""
        digests = []
        for path in sorted(self.files):
            with path.open("rb") as handle:
                digests.append(hashlib.file_digest(handle, "sha256").hexdigest())
        if len(digests) < 2:
            return digests[0] if digests else None
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()


class Loaded(NamedTuple):
    """What `checkpoint.load` and `checkpoint.new` give; `report` is None for random weights."""

    network: Any
    vocabulary: Any
    report: LoadReport | None = None


def require_files(folder: Path, names: Iterable[str], what: str) -> None:
    """Raise `CheckpointError` with the names of all files that a folder lacks; `what` says what it should be."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder}: no {', '.join(missing)}; {what}")


def read_torch(path: str | Path) -> Any:
    """Read a torch file on the CPU without executing anything in it (`weights_only`).

    Raises
    ------
    CheckpointError
        The file is truncated, no torch file, or holds anything but tensors and plain containers.
    """
    import torch

    path = Path(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError, OSError) as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            raise CheckpointError(
                f"{path}: the file names {named[1]}, which is not allowed; nothing of it was executed. Only tensors "
                "and plain containers are read"
            ) from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        size = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
        raise CheckpointError(
            f"{path}: not a readable torch state dict of plain tensors ({size}; truncated, or another format): "
            f"{reason[:200]}"
        ) from error


def read_state_dict(path: str | Path, inside: Iterable[str] = ()) -> dict[str, Tensor]:
    """Read the tensors of a file, floating ones as float32; `.safetensors` by its name, anything else by torch.

    Parameters
    ----------
    path
        The file.
    inside
        Keys under which official files keep the state dict (`("model_state_dict",)`); the first one there is entered,
        without any of them the file must be a bare state dict.

    Raises
    ------
    CheckpointError
        Unreadable, or not a dictionary of tensors.
    """
    path = Path(path)
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    if isinstance(content, dict):
        content = next((content[key] for key in inside if key in content), content)
    tensors = _all_tensors(content)
    if not tensors:
        kind = f"dict with keys {list(content)[:5]}" if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path}: expected a bare state dict (name -> tensor), found {kind}")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _all_tensors(content: Any) -> dict[str, Tensor]:
    import torch

    good = isinstance(content, Mapping) and all(isinstance(v, torch.Tensor) for v in content.values())
    return dict(content) if good else {}


def respell(tensors: Mapping[str, Tensor], native: Callable[[str], str], path: str | Path) -> dict[str, Tensor]:
    """Rename tensors to the network's spelling; refuse two names for the same tensor.

    Raises
    ------
    CheckpointError
        Two names of the file mean the same tensor.
    """
    out: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = native(key)
        if name in out:
            raise CheckpointError(f"{path}: tensor {name} is there twice, under two spellings (second: {key})")
        out[name] = value
    return out


def shape_of(tensor: Tensor) -> str:
    """Shape for a message, for example `64 x 512`."""
    return " x ".join(map(str, tensor.shape)) or "scalar"


def fill(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    is_backbone: Callable[[str], bool] = lambda name: True,
    unused: Mapping[str, str] | None = None,
    where: str | Path = "",
    notes: tuple[str, ...] = (),
    files: Iterable[Path] = (),
) -> LoadReport:
    """Copy tensors into a network; the backbone must match, what else differs is left as it is and reported.

    Parameters
    ----------
    network
        Its own tensors decide what is needed.
    tensors
        Name (the network's spelling) to tensor.
    is_backbone
        Whether a name belongs to the backbone, as opposed to a head that another task may replace.
    unused
        Name and reason of tensors that official files hold and that no forward pass reads (buffers of positions, say);
        they are left out even where they would belong to the backbone.
    where
        File or folder, named in the error.
    notes, files
        Passed on to the report.

    Raises
    ------
    CheckpointError
        Lists every backbone tensor that is missing, of another shape, or unknown to the network.
    """
    own, unused = network.state_dict(), unused or {}
    wrong, left_out, new, loaded = [], {}, {}, {}
    for name, value in own.items():
        if name not in tensors:
            reason = "not in the file"
        elif tensors[name].shape != value.shape:
            reason = f"{shape_of(tensors[name])} in the file, {shape_of(value)} needed"
        else:
            loaded[name] = tensors[name]
            continue
        if is_backbone(name):
            wrong.append(f"{name}: {reason}")
        else:
            new[name] = reason
    for name, value in tensors.items():
        if name in loaded:
            continue
        if name in own:
            left_out[name] = f"{shape_of(value)} in the file, {shape_of(own[name])} needed"
        elif name in unused:
            left_out[name] = unused[name]
        elif is_backbone(name):
            wrong.append(f"{name}: unknown to the network, {shape_of(value)} in the file")
        else:
            left_out[name] = "this network has no such part"
    if wrong:
        place = f"{where}: " if str(where) else ""
        listed = "\n  ".join(sorted(set(wrong)))
        raise CheckpointError(f"{place}{len(wrong)} backbone tensors do not match:\n  {listed}")
    network.load_state_dict({**own, **loaded})
    return LoadReport(tuple(loaded), left_out, new, notes, tuple(files))
