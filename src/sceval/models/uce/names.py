"""Symbols of the protein vector files, read without torch and without the vectors.

The official files are dictionaries symbol -> vector of several hundred megabytes, and only the order of their keys is
used: the vectors themselves are in the checkpoint.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from sceval.models.transformer.problems import CheckpointError

#: What a dictionary of tensors names in its pickle; each is replaced by a placeholder and none is called.
_TENSOR_PARTS = {
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch.serialization", "_get_layout"),
    ("collections", "OrderedDict"),
}


class _Placeholder:
    """Stands for a tensor or a part of one."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Names(pickle.Unpickler):
    """Reads containers and text; tensors become placeholders, any other class is refused."""

    def __init__(self, handle: Any, path: Path) -> None:
        super().__init__(handle)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Return a placeholder for the parts of a tensor."""
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if (module, name) in _TENSOR_PARTS or (module == "torch" and name.endswith("Storage")):
            return _Placeholder
        raise CheckpointError(
            f"{self._path}: the pickle names {module}.{name}, which is not allowed; nothing of it was executed. Only a "
            "dictionary of tensors is read"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Return a placeholder for the numbers of a tensor, which stay unread."""
        return _Placeholder(pid)


def read_names(path: Path) -> list[str]:
    """Return the keys of a torch file that holds a dictionary symbol -> tensor, in order.

    Raises
    ------
    CheckpointError
        Truncated, another format, a forbidden class, or no such dictionary.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.endswith("/data.pkl") or name == "data.pkl"]
            if len(inside) != 1:
                raise CheckpointError(f"{path}: not a torch file (no data.pkl in it)")
            with archive.open(inside[0]) as handle:
                content = _Names(handle, path).load()
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except Exception as error:  # a damaged archive or pickle may raise anything, and all of it means the same
        size = path.stat().st_size
        raise CheckpointError(
            f"{path}: not a readable torch file ({size} bytes; truncated, or another format): {error}"
        ) from error
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path}: expected a dictionary gene symbol -> vector, found {type(content).__name__}")
    return list(content)
