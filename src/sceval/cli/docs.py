"""`sceval docs DIR`: the pages and tables of the documentation that are made from the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

PROGRAM = "sceval-model-"
"""What the names of this project's model programs begin with; the rest is the name of the sub-package."""

NO = "no"
"""A cell of the capability table where the model has nothing for the task under the regime."""


def capabilities(models_sheet: Path) -> str:
    """Return the capability table: a row for each model and task, a column for each regime.

    Parameters
    ----------
    models_sheet
        A models sheet; rows whose program is not one of this project are left out.

    Returns
    -------
    A Markdown table, made from the `Info` of each program and the same rules that the plan uses.
    """
    from sceval.data.sheets import TASKS, read_models

    rows = [row for row in read_models(models_sheet).rows if row["program"].startswith(PROGRAM)]
    cells = [(row, task, _cells(row, task)) for task in TASKS for row in rows]
    cells = [entry for entry in cells if any(entry[2].values())]
    regimes = [regime for regime in cells[0][2] if any(found[regime] for *_, found in cells)]
    return _table(
        ["model", "what it is", "task", *(f"`{regime}`" for regime in regimes)],
        (
            [f"`{row['model']}`", row["kind"].replace("_", " "), task.replace("_", " ")]
            + [found[regime] or NO for regime in regimes]
            for row, task, found in cells
        ),
    )


def _cells(row: dict[str, Any], task: str) -> dict[str, str]:
    """Return what a row of the models sheet offers for a task: regime -> how, empty where nothing."""
    from sceval.contract.tasks import TASKS
    from sceval.data.sheets import REGIMES
    from sceval.models.program import info_json
    from sceval.planning.applicability import TASK_IMAGE_PROBE, choose_verb, embedding_regime, offered_regimes

    name = row["program"].removeprefix(PROGRAM)
    info = info_json(import_module(f"sceval.models.{name}.program").INFO)
    verbs = row["verbs"] or info["verbs"]
    offered = row["regimes"] or offered_regimes(info, verbs)
    found = dict.fromkeys(REGIMES, "")
    for regime in offered:
        verb, _reason = choose_verb(info, verbs, task, regime)
        if verb:
            source = embedding_regime(info, TASKS[task].probes) if verb == TASK_IMAGE_PROBE else regime
            found[regime] = "with weights" if {regime, source} & set(info["needs_weights"]) else "yes"
    return found


def parameters(schema: Path) -> str:
    """Return the parameters of the pipeline as Markdown tables, one for each group of `nextflow_schema.json`."""
    parts = []
    for group in json.loads(schema.read_text())["$defs"].values():
        rows = []
        for name, spec in group["properties"].items():
            allowed = f" One of {', '.join(f'`{value}`' for value in spec['enum'])}." if "enum" in spec else ""
            least = f" At least {spec['minimum']}." if "minimum" in spec else ""
            default = str(spec["default"]).lower() if spec["type"] == "boolean" else str(spec["default"])
            rows.append([f"`--{name}`", f"`{default}`" if default else "", spec["description"] + allowed + least])
        parts += [f"**{group['title']}**\n\n" + _table(["parameter", "default", "meaning"], rows)]
    return "\n\n".join(parts)


def columns(sheet: str) -> str:
    """Return the columns of a sheet, `datasets` or `models`, as a Markdown table."""
    from sceval.data.sheets import DATASETS, MODELS

    rows = []
    for column in {"datasets": DATASETS, "models": MODELS}[sheet]:
        choices = f" One of {', '.join(f'`{value}`' for value in column.choices)}." if column.choices else ""
        choices = choices.replace(" One of", " Of") if column.many else choices
        default = f"`{column.default}`" if column.default else ""
        rows.append([f"`{column.name}`", "yes" if column.required else "", default, column.help + choices])
    return _table(["column", "required", "default", "meaning"], rows)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def with_block(text: str, name: str, block: str) -> str:
    """Return a page with the text between the two markers of a block replaced.

    Raises
    ------
    ValueError
        If the page has not exactly one such block.
    """
    begin, end = f"<!-- begin {name}: made by `make docs` -->", f"<!-- end {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    found = len(pattern.findall(text))
    if found != 1:
        msg = f"{found} blocks between {begin!r} and {end!r}; expected one"
        raise ValueError(msg)
    return pattern.sub(lambda _match: f"{begin}\n\n{block}\n\n{end}", text)


def pages(folder: Path) -> dict[Path, str]:
    """Return every page that is made from the code, wholly or in part, with the text that it must have.

    Parameters
    ----------
    folder
        The folder `docs` of a checkout; README, schema and models sheet are looked for beside it.
    """
    from sceval.contract import document as contract
    from sceval.metrics import registry

    root = folder.resolve().parent
    readme, usage = root / "README.md", folder / "usage.md"
    usage_text = with_block(usage.read_text(), "parameters", parameters(root / "nextflow_schema.json"))
    usage_text = with_block(usage_text, "datasets sheet", columns("datasets"))
    return {
        folder / "contract.md": contract.document(),
        folder / "metrics.md": registry.document(),
        readme: with_block(readme.read_text(), "capabilities", capabilities(root / "assets" / "models.csv")),
        usage: with_block(usage_text, "models sheet", columns("models")),
    }


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def docs(folder: Path) -> None:
    """Write what is made from the code: whole pages in FOLDER, and the marked tables of README and usage."""
    for path, text in pages(folder).items():
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            click.echo(f"written: {path}")
