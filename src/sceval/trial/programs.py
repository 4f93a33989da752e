"""One call of a model program, as the pipeline makes it, in folders of its own that are looked at afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sceval.trial import alone
from sceval.trial.places import changes, snapshot

CACHES = (".cache/", ".config/")
"""Below HOME, where libraries keep caches and settings (XDG); files there are nobody's fault."""


@dataclass
class Call:
    """What became of one call.

    Attributes
    ----------
    code
        Exit code; None where the time limit ended it.
    out, error
        What it printed.
    output
        Folder of the output.
    strays
        What it left outside that folder, a phrase each.
    touched
        What it changed among its inputs, a phrase each.
    packets
        Connections and packets that tried to leave; None where that could not be watched.
    """

    code: int | None
    out: str
    error: str
    output: Path
    strays: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    packets: int | None = None

    @property
    def last_line(self) -> str:
        """Last line of standard error."""
        return (self.error.strip().splitlines() or ["nothing on standard error"])[-1]


def _finish(command: list[str], limit_s: float, **options: Any) -> tuple[int | None, str, str]:
    """Run a command in a session of its own and end that whole session at the time limit."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )
    try:
        out, error = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, error = process.communicate()
        return None, out, error
    return process.returncode, out, error


def _folders(place: Path) -> Path:
    """Make the working folder with inputs and output in it; the output may be written by whichever user."""
    work = place / "work"
    for folder, mode in ((place, 0o755), (work, 0o777), (work / "in", 0o755), (work / "out", 0o777)):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
    return work


@dataclass(frozen=True)
class Program:
    """A program of this machine: HOME, temporary files and working folder lie in folders that are watched."""

    command: list[str]
    limit_s: float = 300.0
    threads: int = 1

    def call(self, words: list[str], place: Path, weights: Path | None = None) -> Call:
        """Run the program with these words in `place/work`, whose `in` has the inputs and `out` takes the output."""
        work = _folders(place)
        home, temporary = place / "home", place / "tmp"
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
        env = dict(os.environ) | {
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONDONTWRITEBYTECODE": "1",  # a cache beside its own code is Python's habit, not the program's
        }
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"):
            env.pop(name, None)  # such a cache would hide that the program writes into its HOME
        before, weights_before = snapshot(work), snapshot(weights, content=False) if weights else {}
        count = place / "packets"
        launcher = [sys.executable, "-I", alone.__file__, str(count)]
        code, out, error = _finish([*launcher, *self.command, *words], self.limit_s, cwd=work, env=env)
        found = Call(code, out, error, work / "out")
        told = [line for line in changes(before, snapshot(work)) if not line.startswith("out/")]
        found.touched = [line for line in told if line.startswith("in/")]
        found.strays = [f"working folder: {line}" for line in told if not line.startswith("in/")]
        for name, folder in (("HOME", home), ("TMPDIR", temporary)):
            left = {path: what for path, what in snapshot(folder, content=False).items() if what != "folder"}
            found.strays += [f"{name}: {path} is new" for path in left if not path.startswith(CACHES)]
        if weights:
            after = snapshot(weights, content=False)
            found.touched += [f"weights: {line}" for line in changes(weights_before, after)]
        found.packets = int(count.read_text()) if count.is_file() else None
        return found


_SHELL = 'sceval-model "$@"; code=$?; cat /proc/net/snmp /proc/net/snmp6 > /sceval-watch/net 2>/dev/null; exit $code'


@dataclass(frozen=True)
class Image:
    """A Docker image, run as the pipeline runs it: no network, inputs read-only, a user that it cannot know."""

    image: str
    limit_s: float = 300.0
    threads: int = 1

    def command(self, words: list[str], place: Path, name: str, weights: Path | None = None) -> list[str]:
        """Return the words of `docker run`.

        The user is the caller's, but never root: an image that only root can run would pass here and fail elsewhere.
        """
        user = f"{os.getuid()}:{os.getgid()}" if os.getuid() else "12345:12345"
        work = place / "work"
        mounts = [f"{work}:{work}", f"{work / 'in'}:{work / 'in'}:ro", f"{place / 'watch'}:/sceval-watch"]
        mounts += [f"{weights}:{weights}:ro"] if weights else []
        options = ["--network", "none", "-u", user, "-e", "HOME=/tmp", "-e", f"OMP_NUM_THREADS={self.threads}"]
        options += [word for mount in mounts for word in ("-v", mount)]
        shell = ["sh", "-c", _SHELL, "sceval-model"]
        return ["docker", "run", "--name", name, *options, "-w", str(work), self.image, *shell, *words]

    def call(self, words: list[str], place: Path, weights: Path | None = None) -> Call:
        """As `Program.call`; what the container's own files became is asked of Docker."""
        work = _folders(place)
        watch = place / "watch"
        watch.mkdir(exist_ok=True)
        watch.chmod(0o777)
        before = snapshot(work)
        name = f"sceval-trial-{uuid.uuid4().hex[:12]}"
        try:
            code, out, error = _finish(self.command(words, place, name, weights), self.limit_s)
            found = Call(code, out, error, work / "out")
            diff = subprocess.run(["docker", "diff", name], capture_output=True, text=True, check=False).stdout
        finally:
            subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        told = [line for line in changes(before, snapshot(work)) if not line.startswith("out/")]
        found.touched = [line for line in told if line.startswith("in/")]
        found.strays = [f"working folder: {line}" for line in told if not line.startswith("in/")]
        caches = [Path("/tmp", name) for name in CACHES]
        mounted = [work, Path("/sceval-watch"), *caches, *([weights] if weights else [])]
        found.strays += [f"image: {line}" for line in strays_of(diff, mounted)]
        if (watch / "net").is_file():
            found.packets = alone.without_route((watch / "net").read_text())
        return found


def strays_of(diff: str, mounted: list[Path]) -> list[str]:
    """Return a phrase for each file that `docker diff` tells of, but for mounts, caches and folders that lead there."""
    lines = [(line[0], line[2:]) for line in diff.splitlines() if len(line) > 2]
    kinds = {"A": "is new", "C": "was changed", "D": "is gone"}
    paths = [path for _, path in lines]
    return [
        f"{path} {kinds[kind]}"
        for kind, path in lines
        if not any(
            Path(path) == place or Path(path) in place.parents or place in Path(path).parents for place in mounted
        )
        and not any(other.startswith(f"{path}/") for other in paths)
    ]


def find_program(name: str) -> list[str] | None:
    """Return the command of a program given by path or by name; None where there is none.

    A name is looked up on the PATH and beside this Python.
    """
    path = Path(name)
    if path.is_file():
        return [str(path.resolve())]
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{beside}")
    return [found] if found else None


def write_params(work: Path, params: dict[str, Any]) -> None:
    """Write the parameters where the program is told to find them."""
    (work / "in" / "params.json").write_text(json.dumps(params) + "\n")
