"""The steps of the pipeline that are not a task's own: `sceval validate | plan | collect`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from sceval.cli.files import read_json, refuse, words, write_json

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
OUT = click.Path(file_okay=False, path_type=Path)


def _key(row: dict[str, Any]) -> str:
    return "p" + hashlib.sha256(f"{row['image']}|{row['program']}|{row['weights']}".encode()).hexdigest()[:12]


@click.command()
@click.option("--datasets", type=click.Path(path_type=Path), required=True, help="Datasets sheet.")
@click.option("--models", type=click.Path(path_type=Path), required=True, help="Models sheet.")
@click.option("--staged", type=FILE, required=True, help="JSON: path in the sheet -> file here.")
@click.option("--settings", type=FILE, required=True, help="JSON of the pipeline's parameters.")
@click.option("--catalogue", type=FILE, help="Catalogue of weights.")
@click.option("--out", type=OUT, required=True, help="Folder to write to.")
def validate(datasets: Path, models: Path, staged: Path, settings: Path, catalogue: Path | None, out: Path) -> None:
    """Check sheets, parameters and data files; write a card for each dataset."""
    from sceval.cli.weights import read_weights
    from sceval.contract import Problem
    from sceval.contract.tasks import TASKS as CARDS
    from sceval.data.sheets import REGIMES, TASKS, nearest, read_datasets, read_models
    from sceval.data.validate import check_choice
    from sceval.data.validate import validate as check

    given = read_json(settings)
    chosen = words(given.get("models"))
    tasks = words(given.get("tasks"))
    model_sheet = read_models(models, str(given.get("models_sheet") or models))
    data_sheet = read_datasets(datasets, str(given.get("input") or datasets))
    asked = {"models": chosen, "tasks": tasks}
    cards, problems, warnings = check(data_sheet, model_sheet, asked, read_json(staged), list(TASKS))
    known_splits = list(dict.fromkeys(split for card in CARDS.values() for split in card.splits))
    problems += check_choice("splits", words(given.get("splits")), known_splits)
    problems += check_choice("regimes", words(given.get("regimes")), list(REGIMES))
    entries, own = read_weights(catalogue)
    problems += own
    rows = []
    for row in model_sheet.rows:
        if chosen and row["model"] not in chosen and row["kind"] != "negative_control":
            continue  # the anchors come from the controls: they always run
        if not given.get("local_programs"):
            row["program"] = "sceval-model"
        elif not row["program"]:
            where = f"{model_sheet.path}, row {row['row']}, column program"
            problems.append(Problem(where, "nothing", "the command that runs it without a container"))
        known = entries.get(row["weights"])
        if row["weights"] and not known and (hint := nearest(row["weights"], list(entries))):
            where = f"{model_sheet.path}, row {row['row']}, column weights"
            warnings.append(f"{where}: {row['weights']!r} is taken for a folder, not for a name of the catalogue{hint}")
        from_catalogue = {"fetch_weights": bool(known), "weights_licence": known.terms() if known else ""}
        rows.append(row | {"key": _key(row)} | from_catalogue)
    refuse(problems)
    (out / "notes.txt").write_text("".join(f"note: {line}\n" for line in warnings))
    programs = {row["key"]: {key: row[key] for key in ("key", "image", "program", "weights")} for row in rows}
    write_json(out / "datasets.json", cards)
    write_json(out / "models.json", rows)
    write_json(out / "programs.json", list(programs.values()))


def _infos(folder: Path, models: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    from sceval.cli.infos import read_info

    return {row["key"]: read_info(folder / row["key"]) for row in models}


@click.command()
@click.option("--datasets", type=FILE, required=True, help="datasets.json of `validate`.")
@click.option("--models", type=FILE, required=True, help="models.json of `validate`.")
@click.option("--infos", type=FOLDER, required=True, help="One folder a program, with what it answered to `info`.")
@click.option("--settings", type=FILE, required=True, help="JSON of the pipeline's parameters.")
@click.option("--out", type=OUT, required=True, help="Folder to write to.")
def plan(datasets: Path, models: Path, infos: Path, settings: Path, out: Path) -> None:
    """Decide which runs are made, which are not applicable, and which share an embedding."""
    import csv

    from sceval.contract import columns
    from sceval.contract.fingerprint import fingerprint
    from sceval.data.sheets import TASKS
    from sceval.models.params import check_params
    from sceval.planning.plan import Settings, make_plan
    from sceval.tasks import prepare_part

    given = read_json(settings)
    rows = read_json(models)
    answers = _infos(infos, rows)
    sheet = str(given.get("models_sheet") or models)
    problems = []
    for row in rows:
        answer = answers[row["key"]]
        if "info" in answer:
            where = f"{sheet}, row {row['row']}, column params"
            problems += check_params(row["params"], answer["info"].get("params", {}), where)
    refuse(problems)
    prefix, tag = given["image_prefix"], given["image_tag"]
    made = make_plan(
        read_json(datasets),
        rows,
        answers,
        Settings(
            tasks=tuple(words(given.get("tasks"))),
            splits=tuple(words(given.get("splits"))),
            regimes=tuple(words(given.get("regimes"))),
            seeds=int(given["seeds"]),
            control_seeds=int(given["control_seeds"]),
            split_seeds=int(given["split_seeds"]),
            task_images={task: f"{prefix}{task}:{tag}" for task in TASKS},
            prepare_code=fingerprint("contract", "data", "tasks/views.py", *map(prepare_part, TASKS)),
            task_code=fingerprint("contract", "data", "training", "tasks"),
            score_code=fingerprint("contract", "data", "metrics", "tasks"),
            device=given["device"],
            time_s=int(given["time_limit"]),
            memory_mb=int(given["memory_mb"]),
            cpus=int(given["cpus"]),
            metrics_backend=given["metrics_backend"],
            score_batch=int(given["score_batch"]),
        ),
    )
    if not made.runs:
        reasons = sorted({row["reason"] for row in made.rows})
        refuse([f"no run can be made: {reason}" for reason in reasons] or ["no run can be made: nothing was asked for"])
    with (out / "plan.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, columns("plan"))
        writer.writeheader()
        writer.writerows(made.rows)
    write_json(out / "views.json", list(made.views.values()))
    write_json(out / "runs.json", list(made.runs.values()))
    write_json(out / "groups.json", made.groups)
    write_json(out / "model_facts.json", model_facts(rows, answers))
    skipped = sum(row["status"] == "not_applicable" for row in made.rows)
    failed = sorted({f"{row['model']}: {row['reason']}" for row in made.rows if row["status"] == "failed"})
    for line in failed:
        click.echo(f"note: {line}", err=True)
    click.echo(f"{len(made.runs)} runs planned, {skipped} not applicable (the reasons are in plan.csv)")


FACTS = (
    *("title", "version", "licence", "citation", "organisms", "matrix", "gene_ids", "min_genes_recognised"),
    *("needs_weights", "weights", "uses_labels", "gpu", "deterministic"),
)
"""What of a program's info goes to the report's card of the model."""


def model_facts(rows: list[dict[str, Any]], answers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return model id -> facts of its program, for each program that answered."""
    infos = {row["model"]: answers[row["key"]].get("info", {}) for row in rows}
    return {model: {name: info[name] for name in FACTS if name in info} for model, info in infos.items() if info}


@click.command()
@click.option("--plan", type=FILE, required=True, help="plan.csv.")
@click.option("--datasets", type=FILE, required=True, help="datasets.json of `validate`.")
@click.option("--records", type=FOLDER, required=True, help="One folder a run, with run.json.")
@click.option("--scored", type=FOLDER, required=True, help="One folder a scored group.")
@click.option(
    "--trace", type=click.Path(path_type=Path), help="Trace of Nextflow: the witness of runs without a record."
)
@click.option("--fetched", type=FOLDER, help="Receipts of fetched weights.")
@click.option("--models", type=FILE, help="model_facts.json of `plan`, for the cards of the models.")
@click.option("--versions", type=FILE, required=True, help="JSON of versions and parameters.")
@click.option("--out", type=OUT, required=True, help="Folder to write to.")
def collect(
    plan: Path,
    datasets: Path,
    records: Path,
    scored: Path,
    trace: Path | None,
    fetched: Path | None,
    models: Path | None,
    versions: Path,
    out: Path,
) -> None:
    """Join plan, records and scores into the tables of the results."""
    from sceval.planning.collect import collect as join

    out.mkdir(parents=True, exist_ok=True)
    told = read_json(versions) | ({"models": read_json(models)} if models else {})
    tables = join(plan, read_json(datasets), records, scored, trace, told, out, fetched)
    counts = tables["runs"]["status"].value_counts().to_dict()
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
