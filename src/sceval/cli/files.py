"""Small helpers of the command line: JSON files, lists of words, and how problems are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click


def read_json(path: Path | str) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file; it appears whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    part.replace(path)


def words(value: Any, everything: str = "all") -> list[str]:
    """Return the words of a comma-separated parameter; an empty list for all."""
    found = [word.strip() for word in str(value if value is not None else "").split(",") if word.strip()]
    return [] if found == [everything] else found


def refuse(problems: Iterable[Any]) -> None:
    """End with exit code 1 and every problem, one a line.

    Raises
    ------
    click.ClickException
        If there is any problem.
    """
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    if lines:
        raise click.ClickException(
            f"{len(lines)} problem{'s' if len(lines) > 1 else ''} in the input:\n  " + "\n  ".join(lines)
        )
