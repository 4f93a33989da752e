"""One pipeline run with a model for each way to fail: every planned run ends with a status, the rest completes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pipelines import Pipeline, Run, write_dataset, write_sheet

HERE = Path(__file__).parent
EXPECTED = {
    "good": ("ok", ""),
    "permuted": ("ok", ""),
    "some_nan": ("ok", ""),
    "facts": ("ok", ""),
    "crash": ("failed", 'error: exit code 1 (KeyError: "gene" is missing \\ in the table)'),
    "hang": ("failed", "time_limit: stopped after 15 s"),
    "killed": ("failed", "error: ended by signal 9"),
    "memory": ("failed", "out_of_memory: more than 1000 MB"),
    "not_applicable": ("not_applicable", "cells of a star are not supported"),
    "nothing": ("failed", "bad_output: the program ended with 0 and wrote no output.h5ad"),
    "garbage": ("failed", "bad_output: "),
    "truncated": ("failed", "bad_output: "),
    "nan": ("failed", "bad_output: 1 cells have values that are NaN or infinite"),
    "constant": ("failed", "bad_output: the embedding is constant"),
    "transposed": ("failed", "bad_output: the output is transposed"),
    "other_cells": ("failed", "bad_output: 160 of 160 cells are absent"),
    "twice": ("failed", "bad_output: "),
    "no_program": ("failed", "error: "),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("zoo")
    write_dataset(folder / "cells.h5ad")
    row = {"dataset": "mine", "path": "cells.h5ad", "batch_key": "sample", "label_key": "label"}
    datasets = write_sheet(folder / "datasets.csv", [row | {"tasks": "batch_integration"}])
    program = shutil.copy(HERE / "zoo.py", folder / "zoo.py")
    models = [
        {"model": way, "image": "zoo:1", "program": program, "params": json.dumps({"way": way}), "kind": "model"}
        for way in EXPECTED
        if way != "no_program"
    ]
    models.append({"model": "no_program", "image": "absent:1", "program": str(folder / "absent"), "kind": "model"})
    controls = {"image": "sceval/controls:0.1.0", "program": "sceval-model-controls", "kind": "negative_control"}
    models.append(controls | {"model": "random", "params": '{"control": "random"}', "verbs": "embed-cells"})
    sheet = write_sheet(folder / "models.csv", models)
    options = ("--input", str(datasets), "--models_sheet", str(sheet), "--control_seeds", "2", "--seeds", "1")
    return Pipeline(folder)("-profile", "venv", *options, "--time_limit", "15", "--memory_mb", "500")


def test_the_pipeline_ends_well(zoo: Run) -> None:
    assert zoo.code == 0, zoo.text[-3000:]
    assert (zoo.outdir / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("way", EXPECTED)
def test_every_run_has_its_status(zoo: Run, way: str) -> None:
    runs = zoo.table("runs")
    row = runs[(runs["model"] == way) & (runs["task"] == "batch_integration")].iloc[0]
    status, reason = EXPECTED[way]
    assert row["status"] == status, row["reason"]
    assert row["reason"].startswith(reason)


def test_only_good_outputs_have_scores(zoo: Run) -> None:
    scored = set(zoo.table("scores")["model"])
    assert scored == {"good", "permuted", "some_nan", "facts", "random", "oracle"}


def test_the_order_of_permuted_cells_is_restored(zoo: Run) -> None:
    scores = zoo.table("scores")
    scores = scores[scores["seed"] == 0].pivot(index="metric", columns="model", values="value")
    assert (scores["good"] == scores["permuted"]).all()
    findings = zoo.table("findings")
    assert findings["finding"].str.contains("the order was restored by their ids").any()


def test_what_a_program_says_of_itself_may_be_broken(zoo: Run) -> None:
    runs = zoo.table("runs")
    assert runs.loc[runs["model"] == "facts", "warnings"].str.contains("not JSON").any()


def test_the_report_shows_the_holes(zoo: Run) -> None:
    text = (zoo.outdir / "report.html").read_text()
    for words in ("time_limit", "out_of_memory", "bad_output", "cells of a star are not supported"):
        assert words in text
