"""The worked example of docs/add-a-model.md: an image that shares no code with us, built and run as a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipelines import ROOT, Pipeline, write_sheet

EXAMPLE = ROOT / "docs" / "examples" / "add-a-model"
IMAGE = "projection:1.0.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
WHEELS = Path(os.environ.get("SCEVAL_WHEELS", CACHE / "sceval" / "wheels"))


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture
def wheels() -> Iterator[str]:
    """Serve the wheels that set-up fetched, on the loopback interface; stop that server alone."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(WHEELS), "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield server.stdout.readline().split("(")[1].split(")")[0]
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def image(wheels: str) -> Iterator[None]:
    if not shutil.which("docker") or docker("info").returncode:
        pytest.skip("no Docker daemon answers (setup/docker.sh start)")
    for script in ("setup/base-image.sh", "setup/images.sh"):
        done = subprocess.run(["bash", str(ROOT / script)], capture_output=True, text=True, check=False, timeout=1200)
        assert done.returncode == 0, done.stdout + done.stderr
    base = docker("images", "--format", "{{.Repository}}:{{.Tag}}", "sceval/python").stdout.split()[0]
    pip = f"PIP_ARGS=--no-index --find-links {wheels}"
    build = ("--build-arg", f"BASE_IMAGE={base}", "--build-arg", pip, "--network", "host", "-t", IMAGE)
    done = docker("build", *build, str(EXAMPLE))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield
    docker("rmi", IMAGE)


@pytest.mark.timeout(2400)
def test_a_stranger_passes_as_a_model(pipeline: Pipeline, datasets: Path, tmp_path: Path, image: None) -> None:
    trial = subprocess.run(
        [sys.executable, "-m", "sceval.cli.main", "validate-model", IMAGE], capture_output=True, text=True, check=False
    )
    assert trial.returncode == 0, trial.stdout + trial.stderr

    controls = {"image": "sceval/controls:0.1.0", "kind": "negative_control"}
    rows = [
        {"model": "projection", "image": IMAGE, "params": json.dumps({"width": 16}), "kind": "model"},
        controls | {"model": "random", "params": '{"control": "random"}', "verbs": "embed-cells"},
        controls | {"model": "majority", "params": '{"control": "majority"}', "verbs": "annotate"},
    ]
    sheet = write_sheet(tmp_path / "models.csv", rows)
    options = ("--seeds", "1", "--control_seeds", "2", "--splits", "all,intra")
    run = pipeline("-profile", "docker", "--input", str(datasets), "--models_sheet", str(sheet), *options)
    assert run.code == 0, run.text[-3000:]
    runs = run.table("runs")
    mine = runs[(runs["model"] == "projection") & (runs["status"] != "not_applicable")]
    assert set(mine["status"]) == {"ok"}
    assert set(mine["task"]) == {"batch_integration", "cell_type_annotation"}
    scores = run.table("scores")
    mine = scores[scores["model"] == "projection"].set_index("metric")
    assert float(mine.loc["accuracy", "scaled"]) > 0.1
    assert 0 < float(mine.loc["s_final", "value"]) < 1
    owners = {path.stat().st_uid for path in run.outdir.rglob("*")}
    assert owners == {os.getuid()}
