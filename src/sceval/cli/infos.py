"""Reads what the programs answered to `sceval-model info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sceval.contract import load


def read_info(folder: Path) -> dict[str, Any]:
    """Return `{"info": ..., "genes": frozenset or None}`, or `{"error": why the program does not answer}`."""
    if not folder.is_dir():
        return {"error": "its image could not be started"}
    path = folder / "info.json"
    if not path.is_file():
        lines = (folder / "error.txt").read_text().strip().splitlines() if (folder / "error.txt").is_file() else []
        return {"error": lines[-1] if lines else "it printed nothing"}
    try:
        info = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        return {"error": f"it printed text that is not JSON ({error})"}
    import jsonschema

    try:
        jsonschema.validate(info, load("info"))
    except jsonschema.ValidationError as error:
        return {
            "error": f"its info breaks the contract at {'/'.join(map(str, error.path)) or 'the top'}: {error.message}"
        }
    genes = folder / "genes.txt"
    return {"info": info, "genes": frozenset(genes.read_text().split()) if genes.is_file() else None}
