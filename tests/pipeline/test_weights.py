"""An official checkpoint through the pipeline, in every regime; and a checkpoint that does not know the genes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import ROOT, Pipeline, write_dataset, write_sheet

PARITY = ROOT.parent / "shared" / "parity" / "scgpt"


@pytest.fixture
def parity() -> Path:
    if not PARITY.is_dir():
        pytest.skip("the checkpoints of ../shared/parity/scgpt are not here")
    return PARITY


@pytest.mark.timeout(1200)
def test_every_regime_of_scgpt(pipeline: Pipeline, tmp_path: Path, parity: Path) -> None:
    write_dataset(tmp_path / "strange.h5ad")
    datasets = write_sheet(
        tmp_path / "datasets.csv",
        [
            {"dataset": "known", "path": str(parity / "input.h5ad"), "batch_key": "batch", "label_key": "cell_type"},
            {"dataset": "strange", "path": "strange.h5ad", "batch_key": "sample", "label_key": "label"},
        ],
    )
    scgpt = {"image": "sceval/scgpt:0.1.0", "program": "sceval-model-scgpt", "weights": str(parity / "ckpt_flash")}
    controls = {"image": "sceval/controls:0.1.0", "program": "sceval-model-controls", "kind": "negative_control"}
    models = [
        scgpt | {"model": "scgpt", "kind": "model", "params": '{"epochs": 1}'},
        controls | {"model": "random", "params": '{"control": "random"}', "verbs": "embed-cells"},
        controls | {"model": "majority", "params": '{"control": "majority"}', "verbs": "annotate"},
    ]
    sheet = write_sheet(tmp_path / "models.csv", models)
    options = ("--seeds", "1", "--control_seeds", "2", "--splits", "all,intra", "--device", "cpu")
    options += (
        "--regimes",
        "zero_shot,probe,frozen,finetune,scratch",
        "--tasks",
        "batch_integration,cell_type_annotation",
    )
    run = pipeline("-profile", "venv", "--input", str(datasets), "--models_sheet", str(sheet), *options)
    assert run.code == 0, run.text[-3000:]
    runs = run.table("runs")
    mine = runs[runs["model"] == "scgpt"]
    known = mine[mine["dataset"] == "known"].set_index(["task", "regime"])["status"].to_dict()
    assert known == {
        ("batch_integration", "zero_shot"): "ok",
        ("batch_integration", "finetune"): "ok",
        ("batch_integration", "scratch"): "ok",
        ("batch_integration", "probe"): "not_applicable",
        ("batch_integration", "frozen"): "not_applicable",
        ("cell_type_annotation", "zero_shot"): "not_applicable",
        ("cell_type_annotation", "probe"): "ok",
        ("cell_type_annotation", "frozen"): "ok",
        ("cell_type_annotation", "finetune"): "ok",
        ("cell_type_annotation", "scratch"): "ok",
    }, mine[["run_id", "status", "reason"]].to_string()
    zero_shot = mine[(mine["dataset"] == "known") & (mine["regime"] == "zero_shot") & (mine["status"] == "ok")].iloc[0]
    assert float(zero_shot["genes_recognised"]) == pytest.approx(168 / 200)
    assert len(zero_shot["weights_sha256"]) == 64

    strange = mine[(mine["dataset"] == "strange") & mine["regime"].isin(["zero_shot", "finetune"])]
    integration = strange[strange["task"] == "batch_integration"]
    assert set(integration["status"]) == {"not_applicable"}
    assert (
        integration["reason"]
        .str.contains(r"the model recognises \d+\.\d% of the 120 genes; at least 20% are needed")
        .all()
    )


@pytest.mark.timeout(1200)
def test_the_reference_package_scores_too(pipeline: Pipeline, datasets: Path) -> None:
    options = ("--models", "pca", "--seeds", "1", "--control_seeds", "2", "--tasks", "batch_integration")
    ours = pipeline("-profile", "venv", "--input", str(datasets), *options)
    theirs = pipeline("-profile", "venv", "--input", str(datasets), *options, "--metrics_backend", "scib")
    assert theirs.code == 0, theirs.text[-3000:]
    again = {row["name"] for row in theirs.trace() if ":RUN " in row["name"] and row["status"] != "CACHED"}
    assert again == set(), "another backend scores again and runs no model"
    assert {row["status"] for row in theirs.trace() if ":SCORE " in row["name"]} == {"COMPLETED"}
    tables = {
        name: run.table("scores").set_index(["run_id", "metric"])["value"] for name, run in (("o", ours), ("t", theirs))
    }
    pca = [key for key in tables["t"].index if ".pca-" in key[0]]
    for run_id, metric in pca:
        if metric in {"asw_label", "asw_batch", "gc_scib", "nmi"}:
            assert float(tables["t"][run_id, metric]) == pytest.approx(float(tables["o"][run_id, metric]), abs=0.12), (
                metric
            )
    findings = theirs.table("findings")["finding"]
    assert findings.str.contains("bras: not by scib").any()
