"""What is done once is not done again: after success, after a kill half-way, after a change of the models sheet."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pipelines import ENV, Pipeline, Run

OPTIONS = ("-profile", "venv", "--models", "pca,knn", "--seeds", "1", "--control_seeds", "2", "--cpus", "1")
OPTIONS = (*OPTIONS, "--splits", "all,intra,inter")
NEVER_CACHED = {"INFO", "PLAN", "COLLECT", "REPORT"}


def redone(run: Run) -> set[str]:
    """Return the processes that ran again although they might have been cached."""
    return {process for process, status in run.tasks() if status != "CACHED"} - NEVER_CACHED


@pytest.fixture
def killed(pipeline: Pipeline, datasets: Path) -> set[str]:
    """Start the pipeline, kill Nextflow itself without mercy once some runs are done, and return their names."""
    command = pipeline.command(*OPTIONS, "--input", str(datasets))
    process = subprocess.Popen(
        command,
        cwd=pipeline.folder,
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    trace = pipeline.folder / "results" / "pipeline_info" / "trace.txt"
    deadline = time.monotonic() + 400
    done: set[str] = set()
    while len(done) < 4 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.3)
        lines = trace.read_text().splitlines()[1:] if trace.is_file() else []
        done = {row.split("\t")[3] for row in lines if ":RUN " in row and row.split("\t")[4] == "COMPLETED"}
    assert process.poll() is None, "the pipeline ended before it could be killed"
    assert len(done) >= 4, "no run was done in time"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return done


def test_a_killed_pipeline_goes_on(pipeline: Pipeline, datasets: Path, killed: set[str]) -> None:
    again = pipeline(*OPTIONS, "--input", str(datasets))
    assert again.code == 0, again.text[-3000:]
    cached = {row["name"] for row in again.trace() if row["status"] == "CACHED"}
    assert killed <= cached
    assert set(again.table("runs")["status"]) == {"ok", "not_applicable"}

    third = pipeline(*OPTIONS, "--input", str(datasets))
    assert redone(third) == set(), third.tasks()

    # One more model: only that one runs, and only its group is scored again.
    more = pipeline(*OPTIONS[:3], "pca,knn,logreg", *OPTIONS[4:], "--input", str(datasets))
    ran = {row["name"].split(" ", 1)[1] for row in more.trace() if ":RUN " in row["name"] and row["status"] != "CACHED"}
    assert ran
    assert all("logreg" in name for name in ran)
