"""Weights of a catalogue: fetched for the runs that need them, which alone wait, or fail, with them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from pipelines import Pipeline, Run, write_dataset, write_sheet

from loopback import Server, serving

HERE = Path(__file__).parent
CONTENT = {"/model.bin": b"tensors" * 30_000, "/config.json": b'{"width": 4}'}
REASONS = {"bad": "expected " + "0" * 64, "page": "web page titled 'Sign in'", "unverified": "nobody has verified"}


def catalogue(path: Path, url: str) -> Path:
    rows = []
    for name in ("toy", *REASONS):
        for file, content in CONTENT.items():
            digest = hashlib.sha256(content).hexdigest()
            if file == "/model.bin":
                digest = {"bad": "0" * 64, "unverified": ""}.get(name, digest)
            address = url + ("/page" if name == "page" else file)
            row = {"weights": name, "source": "a test", "revision": "", "file": file[1:], "url": address}
            row |= {"sha256": digest, "bytes": "", "licence": "Research only", "commercial_use": "no", "notes": ""}
            rows.append(row)
    return write_sheet(path, rows)


def by_model(run: Run) -> pd.DataFrame:
    table = run.table("runs")
    return table[table["regime"] != "probe"].set_index("model")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run, Server, Path]:
    """Return a run with a server that cuts one connection, the same again without a server, the server, the folder."""
    folder = tmp_path_factory.mktemp("fetch")
    write_dataset(folder / "cells.h5ad", n=60, genes=40)
    row = {"dataset": "mine", "path": "cells.h5ad", "batch_key": "sample", "label_key": "label"}
    datasets = write_sheet(folder / "datasets.csv", [row | {"tasks": "batch_integration"}])
    program = {"image": "zoo:1", "program": shutil.copy(HERE / "zoo.py", folder / "weighted.py"), "kind": "model"}
    params = json.dumps({"way": "good"})
    models = [program | {"model": f"m_{name}", "params": params, "weights": name} for name in ("toy", *REASONS)]
    controls = {"image": "sceval/controls:0.1.0", "program": "sceval-model-controls", "kind": "negative_control"}
    models.append(controls | {"model": "random", "params": '{"control": "random"}', "verbs": "embed-cells"})
    sheet = write_sheet(folder / "models.csv", models)
    with serving() as server:
        server.files.update(CONTENT | {"/page": b"<!doctype html><title>Sign in</title>"})
        server.cuts["/model.bin"] = [100_000]
        options = ["--input", str(datasets), "--models_sheet", str(sheet), "--control_seeds", "2", "--seeds", "1"]
        options += ["--weights_catalogue", str(catalogue(folder / "weights.csv", server.url))]
        options += ["--weights_cache", str(folder / "cache")]
        first = Pipeline(folder)("-profile", "venv", *options)
    second = Pipeline(folder)("-profile", "venv", *options, "--models", "m_toy", outdir="again")
    return first, second, server, folder


def test_runs_with_good_weights_and_all_others_are_made(runs: tuple[Run, Run, Server, Path]) -> None:
    first, _second, server, folder = runs
    assert first.code == 0, first.text[-3000:]
    table = by_model(first)
    assert table.loc["m_toy", "status"] == "ok", table.loc["m_toy", "reason"]
    assert set(table.loc["random", "status"]) == {"ok"}
    assert (folder / "cache" / "toy" / "model.bin").read_bytes() == CONTENT["/model.bin"]
    assert ("/model.bin", "bytes=100000-") in server.asked, "the cut download went on where it stopped"
    assert first.tasks()["FETCH_WEIGHTS", "COMPLETED"] == 8


@pytest.mark.parametrize("name", REASONS)
def test_runs_whose_weights_do_not_come_are_not_made(runs: tuple[Run, Run, Server, Path], name: str) -> None:
    first, _second, _server, folder = runs
    row = by_model(first).loc[f"m_{name}"]
    assert row["status"] == "not_run"
    assert row["reason"].startswith(f"its weights {name} could not be fetched: ")
    assert REASONS[name] in row["reason"]
    assert not (folder / "cache" / name / "model.bin").exists()


def test_the_licence_is_in_tables_and_report(runs: tuple[Run, Run, Server, Path]) -> None:
    first = runs[0]
    row = by_model(first).loc["m_toy"]
    assert (row["weights"], row["weights_licence"]) == ("toy", "Research only (no commercial use)")
    assert "Research only (no commercial use)" in (first.outdir / "report.html").read_text()


def test_what_is_there_is_not_fetched_again(runs: tuple[Run, Run, Server, Path]) -> None:
    _first, second, server, _folder = runs
    assert second.code == 0, second.text[-3000:]
    assert by_model(second).loc["m_toy", "status"] == "ok"
    assert second.tasks()["RUN", "CACHED"] + second.tasks()["EMBED", "CACHED"] > 0
    assert ("RUN", "COMPLETED") not in second.tasks()
    assert ("EMBED", "COMPLETED") not in second.tasks()
    assert len([path for path, _ in server.asked if path == "/model.bin"]) == 3, "toy twice (cut), bad once"
