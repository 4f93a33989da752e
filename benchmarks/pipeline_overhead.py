"""What the pipeline itself costs for each run, beyond the work inside it.

A program that ends at once (exit 99, so that nothing is scored) is started many times: alone, under the monitor, and by
the pipeline. The cost of a run is the slope between a small and a large number of runs, so that start-up, VALIDATE,
PLAN and the report do not count. With --image the same in Docker.

    python benchmarks/pipeline_overhead.py [--image sceval/python:3.11] [--runs 20 100]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """#!/bin/bash
if [ "$1" = info ]; then
    echo '{"name": "nothing", "version": "1", "verbs": ["embed-cells"], "regimes": {"embed-cells": ["scratch"]}}'
    exit 0
fi
echo 'nothing to do' >&2
exit 99
"""


def timed(command: list[str], **options: object) -> tuple[float, float]:
    """Return wall and CPU seconds of a command and its children."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def pipeline(folder: Path, runs: int, image: str | None) -> tuple[float, float]:
    """Run the pipeline with a number of models that do nothing."""
    env = os.environ | {"PATH": f"{ROOT / '.tools/bin'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    sheet = folder / f"models{runs}.csv"
    with sheet.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["model", "image", "program", "kind", "params"])
        for number in range(runs):
            writer.writerow([f"m{number}", image or "none", folder / "program", "model", json.dumps({})])
    words = ["--input", ROOT / "assets/demo/datasets.csv", "--models_sheet", sheet, "--tasks", "batch_integration"]
    words += ["--seeds", "1", "--control_seeds", "2", "--memory_mb", "100", "--outdir", folder / f"out{runs}"]
    command = ["nextflow", "run", ROOT, "-ansi-log", "false", "-profile", "docker" if image else "venv", *words]
    work = tempfile.mkdtemp(dir=folder)
    return timed([str(word) for word in command], cwd=work, env=env)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs=2, default=(20, 100), help="models of the small and the large sheet")
    parser.add_argument("--image", help="image for the runs: measures Docker instead of venv")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "program"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        if given.image:
            (folder / "Dockerfile").write_text(f"FROM {given.image}\nCOPY program /usr/local/bin/sceval-model\n")
            subprocess.run(
                ["docker", "build", "-q", "-t", "sceval-overhead", name], check=True, stdout=subprocess.DEVNULL
            )
        monitor = [ROOT / "bin/sceval-monitor", "--id", "a", "--time", "60", "--memory", "1000", "--attempt", "1"]
        monitor += ["--last", "yes", "--cgroup", "no", "--output"]
        many, calls = 20, {"program": [], "monitor": []}
        for number in range(many):
            calls["program"].append(timed(["bash", "-c", f"{program} run || true"]))
            calls["monitor"].append(
                timed([*map(str, monitor), f"o{number}/output.h5ad", "--", str(program), "run"], cwd=name)
            )
        datasets = sum(1 for _ in (ROOT / "assets/demo/datasets.csv").open()) - 1
        small, large = (pipeline(folder, runs, given.image and "sceval-overhead") for runs in given.runs)
        tasks = datasets * (given.runs[1] - given.runs[0])
    print(f"{sys.platform}, {os.cpu_count()} cores; seconds for one run")
    print("| what | wall | CPU |\n|---|---|---|")
    for what, seen in calls.items():
        print(f"| {what} alone | {sum(w for w, _ in seen) / many:.3f} | {sum(c for _, c in seen) / many:.3f} |")
    slope = [(b - a) / tasks for a, b in zip(small, large, strict=True)]
    engine = "Docker" if given.image else "venv"
    print(f"| the pipeline, {engine} ({tasks} more runs, two at a time) | {slope[0]:.3f} | {slope[1]:.3f} |")


if __name__ == "__main__":
    main()
