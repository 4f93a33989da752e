"""Tries a model program against the contract, as a model author would before a first run.

    python -m sceval.contract.trial ./my-program
    python -m sceval.contract.trial --image my-model:1.0

It calls the program as the pipeline does, on small made-up views, and knows nothing of what is inside.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import anndata_kind, h5ad
from sceval.contract.h5ad import CellFile
from sceval.contract.sample import sample_view, take
from sceval.contract.schema import load
from sceval.contract.verbs import WRITES

_TASKS = {"annotate": "cell_type_annotation"}
_SLOTS = {"cell_embedding": "X_emb", "annotation": "probability"}
_NOT_APPLICABLE = 99
_TOLERANCE = 1e-3
"""Largest difference between two calls that should agree, in standard deviations of the output."""

Finding = tuple[bool, str]
"""Whether it is well, and a sentence."""


class Unfit(Exception):
    """The program did not do what the contract asks for."""


def docker_command(image: str, folder: Path) -> list[str]:
    """Return the command that runs an image as the pipeline does: no network, one folder, a user that it cannot know.

    The user is that of the caller, but never root: an image that only root can run would pass here and fail elsewhere.
    """
    user = f"{os.getuid()}:{os.getgid()}" if os.getuid() else "12345:12345"
    mount = ["-v", f"{folder}:{folder}", "-w", str(folder)]
    return ["docker", "run", "--rm", "--network", "none", "-u", user, *mount, image, "sceval-model"]


def _call(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing on standard error"])[-1]


def read_info(command: list[str], folder: Path) -> dict[str, Any]:
    """Return what `info` prints.

    Raises
    ------
    Unfit
        If it fails, is no JSON, or breaks the info schema.
    """
    import jsonschema

    done = _call([*command, "info"], folder)
    if done.returncode:
        msg = f"info ended with exit code {done.returncode}: {_last_line(done.stderr)}"
        raise Unfit(msg)
    try:
        info = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        msg = f"info printed text that is not JSON ({error})"
        raise Unfit(msg) from error
    problems = list(jsonschema.Draft202012Validator(load("info")).iter_errors(info))
    if problems:
        msg = "; ".join(f"info {'/'.join(map(str, item.path))}: {item.message}" for item in problems)
        raise Unfit(msg)
    return info


def _run(command: list[str], verb: str, regime: str, view: CellFile, folder: Path, name: str) -> CellFile | str:
    """Return the checked output of one call in `folder/name`, or the reason where it is not applicable.

    Paths are relative to the working folder, as the pipeline gives them.
    """
    place = folder / name
    place.mkdir()
    place.chmod(0o777)  # an image may run as another user
    h5ad.write(place / "view.h5ad", view)
    (place / "params.json").write_text("{}\n")
    paths = {"view": "view.h5ad", "output": "output.h5ad", "params": "params.json"}
    options = [word for option, file in paths.items() for word in (f"--{option}", f"{name}/{file}")]
    done = _call([*command, verb, *options, "--regime", regime, "--seed", "1", "--device", "cpu"], folder)
    if done.returncode == _NOT_APPLICABLE:
        return _last_line(done.stderr)
    if done.returncode:
        msg = f"exit code {done.returncode}: {_last_line(done.stderr)}"
        raise Unfit(msg)
    problems = anndata_kind.check(WRITES[verb], place / "output.h5ad")
    if problems:
        raise Unfit("; ".join(str(problem).replace(f"{place}/", "") for problem in problems))
    return h5ad.read(place / "output.h5ad")


def _values(verb: str, cells: CellFile, wanted: np.ndarray) -> np.ndarray | None:
    """Return the numbers of the wanted cells, found by id; None where the output has none to compare."""
    where = {name: row for row, name in enumerate(cells.obs_names)}
    absent = [name for name in wanted if name not in where]
    if absent:
        msg = f"{len(absent)} of {len(wanted)} cells are absent from the output, the first is {absent[0]!r}"
        raise Unfit(msg)
    values = cells.obsm.get(_SLOTS[WRITES[verb]])
    return None if values is None else values[[where[name] for name in wanted]]


def _same(first: np.ndarray, second: np.ndarray, when: str) -> Finding:
    if first.shape != second.shape:
        return False, f"{' x '.join(map(str, first.shape))} becomes {' x '.join(map(str, second.shape))} {when}"
    difference = np.nanmax(np.abs(first - second), initial=0.0) / max(float(np.nanstd(first)), 1e-12)
    return difference <= _TOLERANCE, f"largest difference {difference:.1e} standard deviations {when}"


def try_verb(command: list[str], verb: str, regime: str, folder: Path) -> Iterator[Finding]:
    """Yield what was found when a verb ran three times: as it is, again, and with cells and genes in another order."""
    view = sample_view(n=90, g=60, task=_TASKS.get(verb, "batch_integration"))
    wanted = view.obs_names[view.obs["part"] == "test"] if "part" in view.obs else view.obs_names
    rng = np.random.default_rng(1)
    mixed = take(view, rng.permutation(view.n_obs), rng.permutation(view.n_vars))
    results = []
    for number, cells in enumerate([view, view, mixed]):
        result = _run(command, verb, regime, cells, folder, f"{verb}-{number}")
        if isinstance(result, str):
            yield True, f"not applicable (exit 99): {result}"
            return
        results.append(_values(verb, result, wanted))
    first, again, other = results
    if first is None:
        yield True, f"output is right for {len(wanted)} cells; it has no probabilities"
        return
    yield True, f"output is right for {len(wanted)} cells, {first.shape[1]} columns"
    yield bool(np.nanstd(first) > 0), f"values differ between cells (standard deviation {np.nanstd(first):.2g})"
    yield _same(first, again, "with the same seed")
    yield _same(first, other, "with cells and genes in another order")


def trial(command: list[str], folder: Path) -> Iterator[Finding]:
    """Yield whether each thing that the contract asks of a program is so, with a sentence.

    Parameters
    ----------
    command
        What `sceval-model` is here.
    folder
        Empty folder for views and outputs.
    """
    try:
        info = read_info(command, folder)
    except Unfit as error:
        yield False, str(error)
        return
    yield True, f"info: {info['name']} {info['version']}, verbs {', '.join(info['verbs'])}"
    for verb in info["verbs"]:
        regimes = info["regimes"].get(verb, [])
        free = [regime for regime in regimes if regime not in info.get("needs_weights", [])]
        if not regimes:
            yield False, f"{verb}: info lists no regime for it"
        elif verb not in WRITES:
            yield True, f"{verb}: not tried, no task of this version asks for it"
        elif not free:
            yield True, f"{verb}: not tried, every regime starts from weights"
        else:
            try:
                for well, sentence in try_verb(command, verb, free[0], folder):
                    yield well, f"{verb} ({free[0]}): {sentence}"
            except Unfit as error:
                yield False, f"{verb} ({free[0]}): {error}"


def main(arguments: list[str] | None = None) -> int:
    """Print one line for each finding; return 1 where one is bad."""
    parser = argparse.ArgumentParser(prog="python -m sceval.contract.trial", description="Try a model program.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("program", nargs="?", help="Path or name of the program.")
    what.add_argument("--image", help="Docker image that has `sceval-model` on its PATH.")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        if given.image:
            command = docker_command(given.image, folder)
        else:
            path = Path(given.program)
            command = [str(path.resolve()) if path.exists() else given.program]
        bad = 0
        for well, sentence in trial(command, folder):
            bad += not well
            print("ok " if well else "BAD", sentence, flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
