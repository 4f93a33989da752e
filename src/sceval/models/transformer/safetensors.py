"""Files in the safetensors format: a JSON header of names, types, shapes and offsets, then raw little-endian buffers.

Format: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.models.transformer.problems import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

#: Type in the header -> name of the torch type, bytes of an element.
_TYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
_LARGEST_HEADER = 100_000_000


def _header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """Return the header and where the buffers begin."""
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or not 2 <= length <= min(_LARGEST_HEADER, size - 8):
            raise CheckpointError(f"{path}: not a safetensors file, or truncated ({size} bytes, header of {length})")
        try:
            header = json.loads(handle.read(length))
        except ValueError as error:
            raise CheckpointError(f"{path}: not a safetensors file (its header is no JSON: {error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: not a safetensors file (its header is no JSON object)")
    header.pop("__metadata__", None)
    return header, 8 + length


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read all tensors of a file, in their own types.

    Raises
    ------
    CheckpointError
        Truncated, another format, an unknown type, or offsets that do not fit the shapes or the file.
    """
    import numpy as np
    import torch

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    size = path.stat().st_size
    header, start = _header(path, size)
    raw = np.memmap(path, np.uint8, mode="r")
    tensors = {}
    for name, entry in header.items():
        try:
            kind, width = _TYPES[entry["dtype"]]
            shape, (first, last) = [int(n) for n in entry["shape"]], entry["data_offsets"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path}: tensor {name} is described by {entry!r}, which is not understood"
            ) from error
        if last - first != prod(shape) * width or first < 0 or start + last > size:
            raise CheckpointError(
                f"{path}: tensor {name} ({entry['dtype']}, {shape}) does not fit bytes {first} to {last} of "
                f"{size - start}; the file is truncated or damaged"
            )
        tensors[name] = torch.empty(shape, dtype=getattr(torch, kind))
        if last > first:
            tensors[name].reshape(-1).view(torch.uint8).numpy()[:] = raw[start + first : start + last]
    return tensors


def write_safetensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors; readers of the Hugging Face packages take the file as one of theirs."""
    import torch

    kinds = {getattr(torch, kind): tag for tag, (kind, _) in _TYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    buffers, place = [], 0
    for name, tensor in tensors.items():
        flat = tensor.detach().cpu().reshape(-1).contiguous()
        data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
        header[name] = {
            "dtype": kinds[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, place + len(data)],
        }
        buffers.append(data)
        place += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        handle.writelines(buffers)
