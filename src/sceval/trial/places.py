"""What lies in a folder, so that a change can be told."""

from __future__ import annotations

import hashlib
from pathlib import Path

Snapshot = dict[str, str]
"""Path below the folder -> what stands there."""


def snapshot(folder: Path, *, content: bool = True) -> Snapshot:
    """Return what lies in a folder, at any depth; links are not followed.

    Parameters
    ----------
    folder
        A folder that may be absent.
    content
        Look at every byte; else at size and time of change, for files as large as weights.
    """
    found: Snapshot = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        elif content and path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            state = path.lstat()
            found[name] = f"{state.st_size} bytes, {state.st_mtime_ns}"
    return found


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """Return a phrase for each path that is new, gone or changed; a new folder is told by what lies in it."""
    new = [name for name in after if name not in before]
    told = [f"{name} is new" for name in new if not any(other.startswith(f"{name}/") for other in new)]
    told += [f"{name} is gone" for name in before if name not in after]
    return told + [f"{name} was changed" for name in before if name in after and before[name] != after[name]]
