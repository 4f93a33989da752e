"""Catalogues of files that can be fetched: several rows make one entry, each row is a file with its digest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sceval.contract import ContractError, Problem
from sceval.data.fetch import Fetched, FetchError, Source, fetch, unpack
from sceval.data.sheets import Column, nearest, read_sheet

WEIGHTS = (
    Column("weights", "Name of the entry: letters, digits, `_`, `-`, `.`.", required=True),
    Column("source", "Who publishes it, and where.", required=True),
    Column("revision", "Revision of the source."),
    Column("file", "Name of the file in the folder that the model gets.", required=True),
    Column("url", "Address of the file; empty where it can only be fetched by hand."),
    Column("sha256", "SHA-256 of the file; empty where nobody has verified it."),
    Column("bytes", "Size of the file."),
    Column("unpack", "`yes` for a tar archive that the model needs unpacked.", default="no", choices=("yes", "no")),
    Column("licence", "Licence of the weights.", required=True),
    Column("commercial_use", "Whether it allows commercial use.", default="unknown", choices=("yes", "no", "unknown")),
    Column("notes", "What they were trained on, and anything else a user should know."),
)
"""Columns of the weights catalogue."""


@dataclass
class Entry:
    """The files of one name, and what is said of all of them; `archives` are those to be unpacked."""

    name: str
    row: dict[str, Any]
    files: list[Source] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)

    @property
    def unverified(self) -> list[str]:
        """Files whose digest is not known."""
        return [source.name for source in self.files if not source.sha256]

    @property
    def by_hand(self) -> list[str]:
        """Files that have no address."""
        return [source.name for source in self.files if not source.url]

    @property
    def size(self) -> int | None:
        """Bytes of all files together, None where one is unknown."""
        sizes = [source.size for source in self.files]
        return None if None in sizes else sum(sizes)

    def state(self) -> str:
        """Return `verified`, `5 of 6 verified`, `unverified` or `by hand`."""
        if self.by_hand:
            return "by hand"
        good = len(self.files) - len(self.unverified)
        return {len(self.files): "verified", 0: "unverified"}.get(good, f"{good} of {len(self.files)} verified")

    def terms(self) -> str:
        """Return the licence in one line, with what it forbids."""
        forbids = " (no commercial use)" if self.row.get("commercial_use") == "no" else ""
        return self.row["licence"] + forbids


def read_catalogue(
    path: Path | str, columns: tuple[Column, ...] = WEIGHTS, name: str | None = None
) -> dict[str, Entry]:
    """Read a catalogue.

    Parameters
    ----------
    path
        The CSV file.
    columns
        Its columns; the first is the name of the entry.
    name
        How messages call the file.

    Raises
    ------
    ContractError
        With every problem: row and column, what was found, what would be right.
    """
    sheet = read_sheet(path, columns, name, unique=False)
    problems = list(sheet.problems)
    entries: dict[str, Entry] = {}
    key = columns[0].name
    for row in sheet.rows:
        where = f"{sheet.path}, row {row['row']}, column"
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", row[key] or ""):
            problems.append(Problem(f"{where} {key}", repr(row[key]), "letters, digits, `_`, `-` and `.` only"))
        if row["sha256"] and not re.fullmatch(r"[0-9a-f]{64}", row["sha256"]):
            problems.append(Problem(f"{where} sha256", repr(row["sha256"]), "64 hex digits in lower case, or nothing"))
        if row["bytes"] and not row["bytes"].isdigit():
            problems.append(Problem(f"{where} bytes", repr(row["bytes"]), "a whole number, or nothing"))
            continue
        entry = entries.setdefault(row[key], Entry(row[key], row))
        if row["file"] in [source.name for source in entry.files]:
            problems.append(Problem(f"{where} file", f"{row['file']!r} a second time", "each file once"))
        size = int(row["bytes"]) if row["bytes"] else None
        entry.files.append(Source(row["file"], row["url"], row["sha256"], size))
        entry.samples.append(row.get("sample", ""))
        if row.get("unpack") == "yes":
            entry.archives.append(row["file"])
    if problems:
        raise ContractError(problems)
    return entries


def find(entries: dict[str, Entry], name: str) -> Entry:
    """Return an entry by name.

    Raises
    ------
    FetchError
        If there is none; the message lists those that exist.
    """
    if name not in entries:
        msg = f"no entry {name!r}; there are {', '.join(entries)}{nearest(name, list(entries))}"
        raise FetchError(msg)
    return entries[name]


def fetch_entry(
    entry: Entry,
    cache: Path,
    files: list[str] | None = None,
    *,
    allow_unverified: bool = False,
    say: Callable[[str], None] = lambda _line: None,
    **options: Any,
) -> list[Fetched]:
    """Fetch the files of an entry into a folder of its name.

    Parameters
    ----------
    entry
        What to fetch.
    cache
        Folder of all entries. Locks and partial files lie in its `.fetch`, so that the entry's own folder holds its
        files alone, and changes only when a file is added.
    files
        Names of the files wanted; all where None.
    allow_unverified
        Take files whose digest is not known.
    say
        Gets lines about progress.
    options
        Further options of `fetch`.

    Raises
    ------
    FetchError
        At the first file that cannot be had; before anything is loaded where the catalogue already says so.
    """
    wanted = [source for source in entry.files if files is None or source.name in files]
    absent = sorted(set(files or ()) - {source.name for source in wanted})
    if absent:
        known = ", ".join(source.name for source in entry.files)
        msg = f"{entry.name} has no file {absent[0]!r}; it has {known}"
        raise FetchError(msg)
    by_hand = [source.name for source in wanted if not source.url]
    if by_hand:
        msg = f"{entry.name}: {', '.join(by_hand)} cannot be fetched by a program. {entry.row['source']}. "
        raise FetchError((msg + entry.row["notes"]).strip())
    unverified = [source.name for source in wanted if not source.sha256]
    if unverified and not allow_unverified:
        msg = f"{entry.name}: nobody has verified {', '.join(unverified)}: their SHA-256 is not known"
        raise FetchError(f"{msg} (--allow_unverified takes them all the same)")
    state = cache / ".fetch" / entry.name
    found = []
    for source in wanted:
        one = fetch(source, cache / entry.name, state=state, allow_unverified=allow_unverified, say=say, **options)
        if source.name in entry.archives:
            unpack(one, state, say)
        found.append(one)
    return found
