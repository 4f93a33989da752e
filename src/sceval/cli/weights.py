"""`sceval weights list | fetch`: pre-trained weights from the catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sceval.cli.files import write_json

CATALOGUE = "assets/weights.csv"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def find_catalogue(given: Path | None, usual: str = CATALOGUE) -> Path:
    """Return the catalogue: the one given, else that of the checkout in or above this folder, else of the package's.

    Raises
    ------
    click.UsageError
        If none is found.
    """
    if given:
        return given
    source = Path(__file__).resolve().parents[3]  # of an editable installation
    for folder in (Path.cwd(), *Path.cwd().parents, source):
        if (folder / usual).is_file() and (folder / "nextflow_schema.json").is_file():
            return folder / usual
    msg = f"no {usual} in or above {Path.cwd()}: name it with --catalogue"
    raise click.UsageError(msg)


def megabytes(size: int | None) -> str:
    """Return a size for people; `?` where it is not known."""
    return "?" if size is None else f"{size / 1e6:,.1f} MB"


def as_table(rows: list[list[str]]) -> str:
    """Return rows as aligned text; the last column is not padded."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*(row[i].ljust(w) for i, w in enumerate(widths)), row[-1]]) for row in rows)


def read(catalogue: Path | None) -> dict[str, Any]:
    """Read the weights catalogue."""
    from sceval.contract import ContractError
    from sceval.data.catalogue import read_catalogue

    try:
        return read_catalogue(find_catalogue(catalogue))
    except ContractError as error:
        raise click.ClickException(str(error)) from error


def read_weights(catalogue: Path | None) -> tuple[dict[str, Any], list[Any]]:
    """Return the entries of a catalogue and what is wrong with it; neither where there is none."""
    from sceval.contract import ContractError
    from sceval.data.catalogue import read_catalogue

    try:
        return read_catalogue(catalogue) if catalogue else {}, []
    except ContractError as error:
        return {}, error.problems


@click.group()
def weights() -> None:
    """List pre-trained weights and fetch them, verified, into a folder that runs share."""


@weights.command("list")
@click.option("--catalogue", type=FILE, help="Catalogue to read; assets/weights.csv where absent.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_weights(catalogue: Path | None, as_json: bool) -> None:
    """List what the catalogue names, with size, licence, and whether the files are verified."""
    entries = read(catalogue)
    if as_json:
        keys = ("source", "revision", "licence", "commercial_use", "notes")
        listed = [
            {"weights": entry.name, "state": entry.state(), "files": [vars(source) for source in entry.files]}
            | {key: entry.row[key] for key in keys}
            for entry in entries.values()
        ]
        click.echo(json.dumps(listed, indent=1))
        return
    rows = [["weights", "state", "size", "commercial use", "licence"]]
    for entry in entries.values():
        row = entry.row
        rows.append([entry.name, entry.state(), megabytes(entry.size), row["commercial_use"], row["licence"]])
    click.echo(as_table(rows))


@weights.command("fetch")
@click.argument("name")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), default=Path("weights"), show_default=True)
@click.option("--file", "files", multiple=True, help="Fetch this file alone; may be given several times.")
@click.option("--catalogue", type=FILE, help="Catalogue to read; assets/weights.csv where absent.")
@click.option("--allow_unverified", is_flag=True, help="Take files whose SHA-256 is not known.")
@click.option("--tries", type=click.IntRange(1), default=5, show_default=True, help="Tries that bring no byte.")
@click.option("--receipt", type=click.Path(dir_okay=False, path_type=Path), help="Write what came of it here, as JSON.")
def fetch_weights(
    name: str,
    to: Path,
    files: tuple[str, ...],
    catalogue: Path | None,
    allow_unverified: bool,
    tries: int,
    receipt: Path | None,
) -> None:
    """Fetch the weights NAME into the folder TO/NAME.

    A file that is there and right is not fetched again; one that was cut off goes on where it stopped. With --receipt a
    failure is written there, and the exit code is 0.
    """
    from sceval.data.catalogue import fetch_entry, find
    from sceval.data.fetch import FetchError

    def say(line: str) -> None:
        click.echo(line, err=True)

    result: dict[str, Any] = {"weights": name, "files": list(files), "ok": True, "reason": ""}
    try:
        entry = find(read(catalogue), name)
        found = fetch_entry(entry, to, list(files) or None, allow_unverified=allow_unverified, tries=tries, say=say)
        result["fetched"] = [{"file": str(one.path.relative_to(to)), "sha256": one.sha256} for one in found]
        if entry.row["commercial_use"] == "no":
            say(f"note: {entry.name}: {entry.terms()}")
    except FetchError as error:
        if receipt is None:
            raise click.ClickException(str(error)) from error
        say(f"not fetched: {error}")
        result |= {"ok": False, "reason": " ".join(str(error).split())}
    if receipt is not None:
        write_json(receipt, result)
    else:
        click.echo(str(to / name))
