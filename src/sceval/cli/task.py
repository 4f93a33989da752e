"""The program `sceval-task` of the task images: prepare, score, and the runs that are the task's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from sceval import contract
from sceval.cli.files import read_json
from sceval.tasks import IDS, get

NOT_APPLICABLE = 99
"""Exit code of a probe that a dataset does not allow, as of a model program."""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
TASK = click.option("--task", "task_id", type=click.Choice(IDS), required=True, help="Task.")
VIEW = click.option("--view", type=FILE, required=True, help="View (.h5ad).")
OUTPUT = click.option("--output", type=click.Path(path_type=Path), required=True, help="File to write (.h5ad).")
SEED = click.option("--seed", type=int, default=0, show_default=True, help="Seed.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Prepare data for a task and score what models made of it."""


@main.command()
@TASK
@click.option("--dataset", required=True, help="Id of the dataset.")
@click.option("--rows", type=FILE, required=True, help="JSON: how the files are read, `row` and `query_row`.")
@click.option("--data", type=FILE, help="File of the dataset; none for embedded cells.")
@click.option("--query-data", type=FILE, help="File of its query dataset.")
@click.option("--more", type=FILE, multiple=True, help="Further file of the dataset, in the order of its columns.")
@click.option("--split", required=True, help="Split scheme.")
@click.option("--split-seed", type=int, default=0, show_default=True, help="Seed of the split.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for view.h5ad and solution.h5ad.")
def prepare(
    task_id: str,
    dataset: str,
    rows: Path,
    data: Path | None,
    query_data: Path | None,
    more: tuple[Path, ...],
    split: str,
    split_seed: int,
    out: Path,
) -> None:
    """Cut a dataset into the view that models may see and the solution that only scoring sees."""
    from sceval.data.dataset import read_dataset
    from sceval.data.extras import embedded_file
    from sceval.data.sheets import FILE_COLUMNS

    given = read_json(rows)
    named = [name for name in FILE_COLUMNS if given["row"].get(name) and not embedded_file(given["row"][name])]
    files = dict(zip(named, more, strict=True))
    query = read_dataset(given["query_row"], query_data) if given["query_row"] else None
    cells = read_dataset(given["row"], data, files=files)
    view, solution = get(task_id).prepare(cells, query, dataset, split, split_seed)
    out.mkdir(parents=True, exist_ok=True)
    contract.write("view", out / "view.h5ad", view)
    contract.write("solution", out / "solution.h5ad", solution)
    click.echo(f"{dataset}, {task_id}, {split}: {view.n_obs} cells x {view.n_vars} genes")


@main.command()
@TASK
@VIEW
@click.option("--solution", type=FILE, required=True, help="Solution (.h5ad).")
@click.option("--outputs", type=FOLDER, required=True, help="Folder with one folder a run.")
@click.option("--runs", type=FILE, required=True, help="JSON: runs to score, each with run_id and output_of.")
@click.option("--metrics-backend", type=click.Choice(["sceval", "scib"]), default="sceval", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write to.")
def score(task_id: str, view: Path, solution: Path, outputs: Path, runs: Path, metrics_backend: str, out: Path) -> None:
    """Score all outputs of a dataset, task and split."""
    from sceval.tasks.scoring import score_group

    verdicts = score_group(
        get(task_id),
        contract.read("view", view),
        contract.read("solution", solution),
        read_json(runs),
        outputs,
        metrics_backend,
        out,
        progress=lambda line: click.echo(line, err=True),
    )
    bad = sum(not verdict["ok"] for verdict in verdicts.values())
    click.echo(f"{len(verdicts)} outputs scored, {bad} refused")


@main.command()
@VIEW
@click.option("--embedding", type=FILE, required=True, help="Cell or gene embedding of an earlier run (.h5ad).")
@OUTPUT
@SEED
def probe(view: Path, embedding: Path, output: Path, seed: int) -> None:
    """Put the head that all models share on an embedding."""
    from sceval.contract.results import write_result
    from sceval.tasks.guard import BadOutput, NotPossible

    cells = contract.read("view", view)
    try:
        result, chosen, findings = get(cells.uns["sceval"]["task"]).probe(cells, embedding, seed)
    except NotPossible as reason:
        click.echo(" ".join(str(reason).split()), err=True)  # the last line is the reason of the run
        sys.exit(NOT_APPLICABLE)
    except BadOutput as error:
        raise click.ClickException(f"the embedding cannot be used: {error}") from error
    write_result(output, cells, result)
    facts = {"model": "probe", "seed": seed, "device": "cpu", "params": chosen, "warnings": findings}
    output.with_name("facts.json").write_text(json.dumps(facts, indent=1) + "\n")


@main.command()
@VIEW
@click.option("--solution", type=FILE, required=True, help="Solution (.h5ad).")
@OUTPUT
@SEED
def oracle(view: Path, solution: Path, output: Path, seed: int) -> None:
    """Write what a model would that knows the solution, with noise: the positive control."""
    from sceval.contract.results import write_result

    cells = contract.read("view", view)
    result = get(cells.uns["sceval"]["task"]).oracle(cells, contract.read("solution", solution), seed)
    write_result(output, cells, result)


if __name__ == "__main__":
    main()
