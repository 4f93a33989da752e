"""`sceval data list | describe | fetch`: published datasets as AnnData files with a datasets sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from sceval.cli.weights import FILE, as_table, find_catalogue, megabytes

CATALOGUE = "assets/datasets_catalogue.csv"
CATALOGUE_HELP = f"Catalogue to read; {CATALOGUE} where absent."


def _read(catalogue: Path | None) -> dict[str, Any]:
    from sceval.contract import ContractError
    from sceval.data.published import read_published

    try:
        return read_published(find_catalogue(catalogue, CATALOGUE))
    except ContractError as error:
        raise click.ClickException(str(error)) from error


def _chosen(entries: dict[str, Any], names: tuple[str, ...], group: str | None) -> list[Any]:
    from sceval.data.catalogue import find
    from sceval.data.fetch import FetchError

    groups = sorted({name for entry in entries.values() for name in entry.row["group"]})
    if group is not None and group not in groups:
        msg = f"no group {group!r}; there are {', '.join(groups)}"
        raise click.BadParameter(msg, param_hint="--group")
    try:
        chosen = [find(entries, name) for name in names]
    except FetchError as error:
        raise click.ClickException(str(error)) from error
    return chosen + [e for e in entries.values() if group in e.row["group"] and e.name not in names]


def _told(entry: Any) -> dict[str, Any]:
    from sceval.data.published import keys_of, state

    names = (
        "title",
        "source",
        "accession",
        "revision",
        "licence",
        "organism",
        "tasks",
        "group",
        "conversion",
        "content",
    )
    files = [vars(source) for source in entry.files]
    told = {"dataset": entry.name, "checked": state(entry), "size": entry.size, "keys": keys_of(entry), "files": files}
    return told | {name: entry.row[name] for name in (*names, "notes")}


@click.group()
def data() -> None:
    """List published datasets, and fetch them as AnnData files with a datasets sheet."""


@data.command("list")
@click.option("--group", help="Only those of a group, for example study4.")
@click.option("--catalogue", type=FILE, help=CATALOGUE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_data(group: str | None, catalogue: Path | None, as_json: bool) -> None:
    """List the datasets of the catalogue: how each is checked, its organism, groups and title."""
    entries = _read(catalogue)
    told = [_told(entry) for entry in (_chosen(entries, (), group) if group else entries.values())]
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    rows = [[row["dataset"], row["checked"], row["organism"], ";".join(row["group"]), row["title"]] for row in told]
    click.echo(as_table([["dataset", "checked", "organism", "group", "title"], *rows]))


@data.command()
@click.argument("name")
@click.option("--catalogue", type=FILE, help=CATALOGUE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def describe(name: str, catalogue: Path | None, as_json: bool) -> None:
    """Say all that the catalogue knows of the dataset NAME."""
    told = _told(_chosen(_read(catalogue), (name,), None)[0])
    if as_json:
        click.echo(json.dumps(told, indent=1))
        return
    files = told.pop("files")
    told["size"] = megabytes(told["size"])
    told["group"] = ", ".join(told["group"])
    told["keys"] = ", ".join(f"{key} = {value}" for key, value in told["keys"].items())
    click.echo(as_table([[key, str(value)] for key, value in told.items() if value]))
    for source in files:
        click.echo(f"file        {source['name']}  {megabytes(source['size'])}  {source['url'] or 'by hand'}")
        if source["sha256"]:
            click.echo(f"            sha256 {source['sha256']}")


@data.command("fetch")
@click.argument("names", nargs=-1)
@click.option("--group", help="Fetch all of a group that can be fetched, for example study4.")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), default=Path("data"), show_default=True)
@click.option("--catalogue", type=FILE, help=CATALOGUE_HELP)
@click.option("--allow_unverified", is_flag=True, help="Take files whose SHA-256 is not known.")
@click.option("--tries", type=click.IntRange(1), default=5, show_default=True, help="Tries that bring it no further.")
def fetch_data(
    names: tuple[str, ...],
    group: str | None,
    to: Path,
    catalogue: Path | None,
    allow_unverified: bool,
    tries: int,
) -> None:
    """Fetch datasets, convert them to TO/NAME.h5ad, and write their rows into TO/datasets.csv.

    What cannot be fetched is told, and the others are fetched; the exit code is then 1.
    """
    from sceval.data.fetch import FetchError
    from sceval.data.published import fetch_dataset

    if not names and not group:
        msg = "name at least one dataset, or a --group"
        raise click.UsageError(msg)
    failed = []
    for entry in _chosen(_read(catalogue), names, group):
        try:
            path = fetch_dataset(
                entry, to, allow_unverified=allow_unverified, tries=tries, say=lambda line: click.echo(line, err=True)
            )
            click.echo(str(path))
        except FetchError as error:
            failed.append(f"{error}")
    if failed:
        raise click.ClickException("\n  ".join([f"{len(failed)} not fetched:", *failed]))
