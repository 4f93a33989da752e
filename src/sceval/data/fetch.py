"""Files from the network: resumed, verified, shared between runs, never seen half-written."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from sceval.data.download import FetchError, Interrupted, attempt

__all__ = ["FetchError", "Fetched", "Source", "fetch", "file_sha256", "unpack"]

LONGEST_WAIT = 300.0
"""Seconds; a server that asks to wait longer is given up, with what it asked."""


@dataclass(frozen=True)
class Source:
    """A file as a catalogue names it.

    Attributes
    ----------
    name
        Path below the folder to which it is fetched.
    url
        Address, http or https.
    sha256
        64 hex digits; empty where nobody has verified the file.
    size
        Bytes, None where unknown.
    """

    name: str
    url: str
    sha256: str = ""
    size: int | None = None


@dataclass(frozen=True)
class Fetched:
    """A file that is there: its digest, whether that was checked against a known one, and whether it was loaded now."""

    path: Path
    sha256: str
    size: int
    verified: bool
    loaded: bool


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock between processes; the system lets go of it when its holder ends, however it ends."""
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                msg = f"{path} cannot be locked ({error.strerror}): the cache must lie on a file system with locks"
                raise FetchError(msg) from error
            say("another run fetches it now; waiting for that")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Record:
    """Remembers that a file was verified, so that gigabytes are not read again at each start."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def digest(self, file: Path) -> str:
        """Return the digest of a file, from the record where size and time of change are those of then."""
        found = file.stat()
        mark = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
        if self.path.is_file():
            try:
                kept = json.loads(self.path.read_text())
            except json.JSONDecodeError:
                kept = {}
            if isinstance(kept, dict) and {key: kept.get(key) for key in mark} == mark and kept.get("sha256"):
                return str(kept["sha256"])
        digest = file_sha256(file)
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(mark | {"sha256": digest}) + "\n")
        part.replace(self.path)
        return digest


class _Progress:
    """Says every ten seconds how far a download is."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name, self.say, self.last = name, say, time.monotonic()

    def __call__(self, done: int, whole: int | None) -> None:
        if time.monotonic() - self.last >= 10:
            self.last = time.monotonic()
            of = f" of {whole / 1e6:,.1f}" if whole else ""
            self.say(f"{self.name}: {done / 1e6:,.1f}{of} MB")


def _download(
    source: Source,
    part: Path,
    tries: int,
    pause: float,
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    failures, most = 0, part.stat().st_size if part.is_file() else 0
    while True:
        try:
            attempt(source.url, part, source.size, timeout, _Progress(source.name, say))
            return
        except Interrupted as reason:
            # Whoever gets further, however slowly, is not given up; whoever begins anew each time is.
            there = part.stat().st_size if part.is_file() else 0
            failures = 1 if there > most else failures + 1
            most = max(most, there)
            if failures >= tries:
                msg = f"{source.name}: given up after {failures} tries: {reason}"
                raise FetchError(msg) from reason
            wait = min(pause * 2 ** (failures - 1), 60.0) if reason.wait is None else reason.wait
            if wait > LONGEST_WAIT:
                msg = f"{source.name}: {reason}, and asks to come back in {wait:,.0f} s"
                raise FetchError(msg) from reason
            say(f"{source.name}: {reason}; again in {wait:g} s")
            sleep(wait)


def _wrong(source: Source, path: Path) -> str:
    """Return what is wrong with a loaded file, or an empty text."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        return f"{source.url} gave {size:,} bytes; expected {source.size:,}"
    if source.sha256 and (digest := file_sha256(path)) != source.sha256.lower():
        return f"{source.url} gave a file with SHA-256 {digest}; expected {source.sha256}"
    return ""


def _check_source(source: Source, *, allow_unverified: bool) -> None:
    place = PurePosixPath(source.name)
    if not source.name or place.is_absolute() or ".." in place.parts:
        msg = f"file name {source.name!r}: expected a path below the folder"
        raise FetchError(msg)
    if urlsplit(source.url).scheme not in ("http", "https"):
        msg = f"{source.name}: cannot be fetched from {source.url or 'an empty address'}; expected http or https"
        raise FetchError(msg)
    if not source.sha256 and not allow_unverified:
        msg = f"{source.name}: its SHA-256 is not known, so that nobody can tell whether it is the right file"
        raise FetchError(f"{msg} (--allow_unverified takes it all the same)")


def fetch(
    source: Source,
    folder: Path,
    *,
    state: Path | None = None,
    allow_unverified: bool = False,
    tries: int = 5,
    pause: float = 1.0,
    timeout: float = 60.0,
    say: Callable[[str], None] = lambda _line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Return a file of a folder, fetched where it is not there yet or is not the right one.

    Several processes may ask for the same file at once: one loads it, the others wait. The file appears under its name
    when it is whole and verified. A load that was cut off, by the network or by the end of the process, goes on where
    it stopped.

    Parameters
    ----------
    source
        What to fetch.
    folder
        Where to; made where absent.
    state
        Folder on the same file system for partial files, locks and records; `folder/.fetch` where None.
    allow_unverified
        Take a file whose SHA-256 is not known.
    tries
        Requests in a row that bring it no further, after which it is given up.
    pause
        Seconds before the second try; doubled each time, up to 60. A server's `Retry-After` is honored instead.
    timeout
        Seconds without a byte after which a connection counts as dead.
    say
        Gets lines about progress and trouble.
    sleep
        How to wait.

    Raises
    ------
    FetchError
        With the address and what was found there: nothing was put under the file's name.
    """
    _check_source(source, allow_unverified=allow_unverified)
    target = folder / source.name
    state = (state or folder / ".fetch") / Path(source.name).parent
    for place in (target.parent, state):
        place.mkdir(parents=True, exist_ok=True)
    name = target.name
    record = _Record(state / f"{name}.json")
    # Another address or digest is another file: its part is never continued with these bytes.
    mark = hashlib.sha256(f"{source.url} {source.sha256}".encode()).hexdigest()[:8]
    part = state / f"{name}.{mark}.part"
    with _locked(state / f"{name}.lock", say):
        if target.is_file():
            digest = record.digest(target)
            size = target.stat().st_size
            if digest == source.sha256.lower() or (not source.sha256 and source.size in (None, size)):
                return Fetched(target, digest, size, bool(source.sha256), loaded=False)
            say(f"{source.name}: the file that is there has SHA-256 {digest}; it is fetched again")
        try:
            return _load(source, target, part, record, tries, pause, timeout, say, sleep)
        except OSError as error:
            msg = f"{source.name}: cannot be written to {target.parent}: {error.strerror or error}"
            raise FetchError(msg) from error


def _load(
    source: Source,
    target: Path,
    part: Path,
    record: _Record,
    tries: int,
    pause: float,
    timeout: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> Fetched:
    for fresh in (False, True):
        resumed = part.is_file()
        there = part.stat().st_size if resumed else 0
        free = shutil.disk_usage(target.parent).free
        if source.size is not None and free < source.size - there:
            msg = f"{source.name}: {source.size - there:,} bytes to come, {free:,} bytes free in {target.parent}"
            raise FetchError(msg)
        if source.size is None or there != source.size:
            _download(source, part, tries, pause, timeout, say, sleep)
        wrong = _wrong(source, part)
        if not wrong:
            break
        part.unlink()
        if fresh or not resumed:
            raise FetchError(f"{source.name}: {wrong}")
        say(f"{source.name}: {wrong}; the part of an earlier load is thrown away")
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(target)
    digest = record.digest(target)
    say(f"{source.name}: {target.stat().st_size / 1e6:,.1f} MB{'' if source.sha256 else ', not verified'}")
    return Fetched(target, digest, target.stat().st_size, bool(source.sha256), loaded=True)


def unpack(archive: Fetched, state: Path, say: Callable[[str], None] = lambda _line: None) -> None:
    """Unpack a fetched tar archive beside itself, once; what is in it appears whole.

    Parameters
    ----------
    archive
        What `fetch` returned.
    state
        Folder on the same file system for the lock, the record and the files in the making.
    say
        Gets lines about progress.

    Raises
    ------
    FetchError
        If it is no tar archive, or holds what must not be unpacked (paths outside, links to outside, devices).
    """
    folder, name = archive.path.parent, archive.path.name
    record, work = state / f"{name}.unpacked.json", state / f"{name}.unpacking"
    with _locked(state / f"{name}.lock", say):
        kept = json.loads(record.read_text()) if record.is_file() else {}
        if kept.get("sha256") == archive.sha256 and all((folder / entry).exists() for entry in kept["entries"]):
            return
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            with tarfile.open(archive.path) as opened:
                opened.extractall(work, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            shutil.rmtree(work, ignore_errors=True)
            msg = f"{name} cannot be unpacked: {error}"
            raise FetchError(msg) from error
        entries = sorted(path.name for path in work.iterdir())
        for entry in entries:
            place = folder / entry
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            (work / entry).replace(place)
        work.rmdir()
        record.write_text(json.dumps({"sha256": archive.sha256, "entries": entries}) + "\n")
        say(f"{name}: unpacked {', '.join(entries)}")
