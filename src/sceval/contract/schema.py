"""The contract itself: one JSON file for each file kind, in `schemas/`."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

SCHEMA_VERSION = "1.0"
"""Version of the contract. Readers refuse another major number by name."""


def kinds() -> list[str]:
    """Return the names of all file kinds, sorted."""
    return sorted(
        path.name.removesuffix(".json")
        for path in files(__package__).joinpath("schemas").iterdir()
        if path.name.endswith(".json")
    )


@cache
def load(kind: str) -> dict[str, Any]:
    """Return the schema of a file kind.

    Raises
    ------
    KeyError
        If there is no such kind; the message lists those that exist.
    """
    if kind not in kinds():
        msg = f"no file kind {kind!r}; there are {', '.join(kinds())}"
        raise KeyError(msg)
    return json.loads(files(__package__).joinpath("schemas", f"{kind}.json").read_text())


def columns(kind: str) -> list[str]:
    """Return the columns of a table kind, in the order in which they are written."""
    return list(load(kind)["properties"])
