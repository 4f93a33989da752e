"""Dictionaries that official models publish as pickles, read through an allow-list of classes."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sceval.models.transformer.problems import CheckpointError

#: Plain containers and numbers, and what a NumPy number is pickled as (two spellings, NumPy 1 and 2).
_BUILTINS = ("dict", "list", "tuple", "set", "frozenset", "int", "float", "complex", "bool", "str", "bytes")
ALLOWED = frozenset(
    [f"builtins.{name}" for name in (*_BUILTINS, "bytearray")]
    + ["collections.OrderedDict", "numpy.dtype", "_codecs.encode"]
    + ["numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"]
)


class _Reader(pickle.Unpickler):
    """Finds allowed names only; a pickle can otherwise call any function of any package."""

    def __init__(self, handle: Any, path: Path, allowed: frozenset[str]) -> None:
        super().__init__(handle)
        self._path, self._allowed = path, allowed

    def find_class(self, module: str, name: str) -> Any:
        """Return the named class where it is allowed."""
        # Python 2 names and the old home of NumPy's functions mean the same things.
        module = {"__builtin__": "builtins", "numpy.core.multiarray": "numpy._core.multiarray"}.get(module, module)
        if f"{module}.{name}" not in self._allowed:
            raise CheckpointError(
                f"{self._path}: the pickle names {module}.{name}, which is not allowed; nothing of it was executed. "
                "Only plain dictionaries, lists, text and numbers are read"
            )
        return super().find_class(module, name)


def read_allowed_pickle(path: str | Path, allow: Iterable[str] = ()) -> Any:
    """Read a pickle that may hold builtin containers, text, numbers and NumPy scalars, and nothing else.

    Parameters
    ----------
    path
        The file.
    allow
        Further full names (`module.name`) that this file may need; calling them must be harmless.

    Raises
    ------
    CheckpointError
        Truncated or no pickle, or it names a class that is not allowed (named in the message).
    """
    path = Path(path)
    try:
        with path.open("rb") as handle:
            return _Reader(handle, path, ALLOWED | frozenset(allow)).load()
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except Exception as error:  # a damaged pickle may raise anything, and all of it means the same
        size = path.stat().st_size
        raise CheckpointError(
            f"{path}: not a readable pickle ({size} bytes): {type(error).__name__}: {error}"
        ) from error
