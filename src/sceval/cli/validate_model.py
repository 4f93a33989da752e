"""`sceval validate-model NAME | IMAGE | PROGRAM`: a pass / fail table against the contract."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from sceval.cli.weights import find_catalogue

SHEET = "assets/models.csv"


def _row(name: str, sheet: Path | None) -> dict[str, Any] | None:
    """Return the row of a model, with the folder of its sheet; None where there is no such row, or no sheet."""
    from sceval.data.sheets import MODELS, read_sheet

    try:
        path = find_catalogue(sheet, SHEET)
    except click.UsageError:
        return None
    read = read_sheet(path, MODELS)
    row = next((row for row in read.rows if row["model"] == name), None)
    return row and row | {"folder": path.resolve().parent}


def _weights_of(row: dict[str, Any] | None) -> Path | None:
    """Return the weights folder that a row names, where it is there."""
    folder = Path(row["folder"]) / row["weights"] if row and row["weights"] else None
    if folder is not None and not folder.is_dir():
        click.echo(f"note: no weights {row['weights']} beside the sheet; give their folder by --weights", err=True)
        return None
    return folder


def _params(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON ({error})", param_hint="--params") from error
    if not isinstance(given, dict):
        raise click.BadParameter(f"a JSON {type(given).__name__}; expected an object", param_hint="--params")
    return given


def as_table(found: list[Any]) -> str:
    """Return the checks as lines: result, verb, check, sentence."""
    wide = [max(len(getattr(check, name)) for check in found) for name in ("result", "verb", "check")]
    line = "{:<{}}  {:<{}}  {:<{}}  {}"
    rows = [(check.result, wide[0], check.verb, wide[1], check.check, wide[2], check.detail) for check in found]
    return "\n".join(line.format(*row) for row in rows)


@click.command("validate-model")
@click.argument("model", metavar="NAME|IMAGE|PROGRAM")
@click.option("--image", "as_image", is_flag=True, help="NAME: run the image of its row; else: MODEL is an image.")
@click.option("--sheet", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=f"Models sheet; {SHEET}.")
@click.option("--weights", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Pre-trained weights.")
@click.option("--verbs", default="", help="Verbs to try, separated by commas; all that it declares where absent.")
@click.option("--params", default="{}", help="Parameters of every call, JSON; beside those of the row.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Verbs tried at the same time.")
@click.option("--timeout", type=click.FloatRange(1), default=120.0, show_default=True, help="Seconds for one call.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of the table.")
def validate_model(
    model: str,
    as_image: bool,
    sheet: Path | None,
    weights: Path | None,
    verbs: str,
    params: str,
    device: str,
    jobs: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Try a model on a view of 200 cells for every verb that it declares.

    NAME is a row of the models sheet, IMAGE a Docker image, PROGRAM a path or a command. Exit code 1: something is
    against the contract.
    """
    from sceval.trial.programs import Image, Program, find_program
    from sceval.trial.run import Trial

    row = _row(model, sheet)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    command = None if as_image else find_program((row["program"] or row["model"]) if row else model)
    if command is not None:
        program: Image | Program = Program(command, timeout, threads)
    elif as_image or (row is None and ("/" in model or ":" in model) and not Path(model).is_absolute()):
        program = Image(row["image"] if row else model, timeout, threads)
    else:
        what = (
            f"no program {row['program']!r} on the PATH; --image takes its image" if row else "no such row or program"
        )
        raise click.ClickException(f"{model}: {what}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sceval-trial-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        given = weights or _weights_of(row)
        trial = Trial(
            program,
            folder,
            given.resolve() if given else None,
            (_params(row["params"]) if row else {}) | _params(params),
            tuple(verb for verb in verbs.replace(";", ",").split(",") if verb) or tuple(row["verbs"] if row else ()),
            device,
            bool(row and row["kind"] == "negative_control"),
            jobs,
        )
        found = list(trial.run())
    bad = sum(check.result == "FAIL" for check in found)
    seconds = round(time.monotonic() - start, 1)
    if as_json:
        result = {"model": model, "ok": not bad, "seconds": seconds, "checks": [check.as_dict() for check in found]}
        click.echo(json.dumps(result, indent=1))
    else:
        click.echo(as_table(found))
        click.echo(f"{'FAIL' if bad else 'pass'}: {bad} of {len(found)} checks failed, {seconds:.0f} s")
    sys.exit(int(bad > 0))
