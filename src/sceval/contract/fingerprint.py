"""A digest of source files, so that a resumed pipeline sees that code in an environment or image has changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import sceval


def fingerprint(*parts: str) -> str:
    """Return 16 hex digits over the Python and JSON files, and the packed tables, of sub-packages of sceval.

    Parameters
    ----------
    parts
        Paths below the package, for example `contract`, `models/scgpt` or `models/program.py`.
    """
    root = Path(sceval.__file__).parent
    digest = hashlib.sha256(sceval.__version__.encode())
    for part in parts:
        base = root / part
        for path in sorted([base] if base.is_file() else base.rglob("*")):
            if path.suffix in {".py", ".json", ".gz"}:
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
