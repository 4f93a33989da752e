"""Help, and what a user reads who mistypes a parameter or gives bad input: before any model runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pipelines import ROOT, Pipeline, write_dataset, write_sheet

from sceval.contract import h5ad

TASKS = "batch_integration,cell_type_anotation"


def test_help_lists_every_parameter(pipeline: Pipeline) -> None:
    run = pipeline("--help")
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    assert run.code == 0
    for group in schema["$defs"].values():
        for name in group["properties"]:
            assert f"--{name}" in run.text


def test_defaults_of_the_schema_are_those_of_the_configuration(pipeline: Pipeline) -> None:
    import subprocess

    from pipelines import ENV

    done = subprocess.run(
        ["nextflow", "config", str(ROOT), "-o", "json"], env=ENV, capture_output=True, text=True, check=True
    )
    params = json.loads(done.stdout)["params"]
    schema = json.loads((ROOT / "nextflow_schema.json").read_text())
    declared = {name: spec for group in schema["$defs"].values() for name, spec in group["properties"].items()}
    assert set(params) == set(declared)
    for name, spec in declared.items():
        if name not in ("models_sheet", "weights_catalogue"):  # paths of this checkout
            assert params[name] == spec["default"], name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tsks", "all"], ["--tsks is not a parameter. Did you mean --tasks?"]),
        (["--metrics_backend", "scibb"], ["allowed are sceval, scib"]),
        (["--metrics-backend", "scib"], ["--metrics-backend is not a parameter. Did you mean --metrics_backend?"]),
        (["--seeds", "two"], ["--seeds is 'two'; a whole number is expected"]),
        (["--seeds", "0"], ["the smallest allowed value is 1"]),
        (["--device", "gpu"], ["--device is 'gpu'; allowed are auto, cpu, cuda"]),
        ([], ["--input is needed"]),
        (["--input", "absent.csv", "--outdirr", "x"], ["there is no file absent.csv", "Did you mean --outdir?"]),
    ],
)
def test_a_wrong_parameter_is_refused(pipeline: Pipeline, words: list[str], expected: list[str]) -> None:
    run = pipeline("-profile", "venv", *words)
    assert run.code == 1
    for text in expected:
        assert text in run.text


def test_an_executor_says_what_it_needs(pipeline: Pipeline, datasets: Path) -> None:
    run = pipeline("-profile", "k8s", "--input", str(datasets))
    assert run.code == 1
    assert "--k8s_claim is needed with -profile k8s" in run.text


def test_every_problem_of_the_input_is_told_at_once(pipeline: Pipeline, tmp_path: Path) -> None:
    good = write_dataset(tmp_path / "good.h5ad")
    good.X = good.X.log1p()
    h5ad.write(tmp_path / "log.h5ad", good)
    good.obs["sample"] = np.full(good.n_obs, "only", object)
    h5ad.write(tmp_path / "one_batch.h5ad", good)
    keys = {"batch_key": "sample", "label_key": "label"}
    rows = [
        {"dataset": "absent", "path": "absent.h5ad", **keys},
        {"dataset": "wrong_key", "path": "good.h5ad", "batch_key": "samples", "label_key": "label"},
        {"dataset": "log", "path": "log.h5ad", **keys},
        {"dataset": "one", "path": "one_batch.h5ad", "tasks": "batch_integration", "matrix": "lognorm", **keys},
    ]
    sheet = write_sheet(tmp_path / "sheet.csv", rows)
    run = pipeline("-profile", "venv", "--input", str(sheet), "--models", "harmny", "--tasks", TASKS)
    assert run.code == 1
    for text in (
        "sheet.csv, row 2, column path: found no file absent.h5ad",
        "row 3, column batch_key: found 'samples'",
        "did you mean 'sample'?",
        "a log-normalised matrix (fractional values",
        "row 5, column batch_key: found one batch only (only)",
        "--models: found 'harmny'",
        "did you mean 'harmony'?",
        "did you mean 'cell_type_annotation'?",
    ):
        assert text in run.text, run.text[-4000:]
    assert not any(process in {"RUN", "EMBED", "PREPARE", "PLAN"} for process, _status in run.tasks())
