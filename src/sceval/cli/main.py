"""The command line `sceval`."""

from __future__ import annotations

from pathlib import Path

import click

import sceval
from sceval.cli import steps
from sceval.cli.data import data
from sceval.cli.docs import docs
from sceval.cli.pretrain import pretrain
from sceval.cli.validate_model import validate_model
from sceval.cli.weights import weights


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sceval.__version__, prog_name="sceval")
def main() -> None:
    """Which single-cell model is useful for what."""


main.add_command(steps.validate)
main.add_command(steps.plan)
main.add_command(steps.collect)
main.add_command(docs)
main.add_command(pretrain)
main.add_command(validate_model)
main.add_command(weights)
main.add_command(data)


@main.command()
@click.argument(
    "results", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR..."
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; DIR/report.html where absent, with several folders report.html here.",
)
def report(results: tuple[Path, ...], out: Path | None) -> None:
    """Make the HTML report from one or several results folders.

    Several folders are shown as one; they may share neither a run id nor a board (task, dataset and split).
    """
    from sceval.report import build

    target = out or (results[0] / "report.html" if len(results) == 1 else Path("report.html"))
    try:
        build(results, target)
    except (FileNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(str(target))


if __name__ == "__main__":
    main()
