"""The README's first command on real cells, without and with containers: the same scores, as they should be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pipelines import ENV, ROOT, Run

KEY = ["run_id", "metric"]


def make_demo(engine: str, folder: Path) -> Run:
    """Run `make demo`; work files lie in the test's own folder, so that nothing of an earlier run is taken."""
    env = {key: value for key, value in ENV.items() if not key.startswith(("MAKE", "MFLAGS"))}  # not a make within make
    done = subprocess.run(
        ["make", "--no-print-directory", "demo", f"ENGINE={engine}", f"OUTDIR={folder / engine}"],
        cwd=ROOT,
        env=env | {"NXF_WORK": str(folder / "work")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    return Run(done.returncode, done.stderr + done.stdout, folder / engine)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def local(folder: Path) -> Run:
    return make_demo("venv", folder)


@pytest.fixture(scope="module")
def contained(folder: Path) -> Run:
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker daemon answers (setup/docker.sh start)")
    return make_demo("docker", folder)


@pytest.mark.timeout(2400)
def test_it_ends_with_the_path_of_the_report(local: Run) -> None:
    assert local.code == 0, local.text[-3000:]
    path = Path(local.text.strip().splitlines()[-1])
    assert path == local.outdir / "report.html"
    assert "<!doctype html>" in path.read_text()[:100].lower()


@pytest.mark.timeout(2400)
def test_every_planned_run_is_done(local: Run) -> None:
    runs, plan = local.table("runs"), local.table("plan")
    assert set(runs["run_id"]) == set(plan["run_id"])
    assert set(runs["status"]) == {"ok", "not_applicable"}
    assert (runs.loc[runs["status"] == "not_applicable", "reason"] != "").all()
    assert (runs.loc[runs["status"] == "ok", "cpu_s"].astype(float) > 0).all()
    for run_id in runs.loc[runs["status"] == "ok", "run_id"]:
        assert (local.outdir / "outputs" / run_id / "run.json").is_file()


@pytest.mark.timeout(2400)
def test_controls_stand_where_they_should(local: Run) -> None:
    summary = pd.read_parquet(local.outdir / "summary.parquet")
    # S_bio and S_batch share the anchor run of S_final, so that another control may lie above 0 on one of them.
    shown = summary[summary["headline"] & summary["informative"] & ~summary["metric"].isin(["s_bio", "s_batch"])]
    assert set(shown["task"]) == {"batch_integration", "cell_type_annotation"}
    for _key, group in shown.groupby(["dataset", "task", "split", "metric"]):
        blind = group.loc[group["kind"] == "negative_control", "scaled"]
        oracle = group.loc[group["kind"] == "positive_control", "scaled"]
        honest = group.loc[group["kind"].isin(["model", "baseline"]), "scaled"]
        assert blind.max() == pytest.approx(0, abs=0.05)
        assert oracle.min() == pytest.approx(1, abs=0.1)
        assert blind.max() < honest.max() < oracle.min()


@pytest.mark.timeout(2400)
def test_the_planted_effect_is_seen_and_its_absence_too(local: Run) -> None:
    scores = pd.read_parquet(local.outdir / "scores.parquet")
    final = scores[scores["metric"] == "s_final"].groupby(["dataset", "model"])["value"].mean()
    assert final["pbmc68k_planted_0", "pca"] - final["pbmc68k_planted_1", "pca"] > 0.1
    assert final["pbmc68k_planted_1", "harmony"] - final["pbmc68k_planted_1", "pca"] > 0.1
    lanes = scores[(scores["dataset"] == "pbmc68k_lanes") & (scores["metric"] == "pcr")]
    assert lanes["value"].isna().all()
    assert "nothing to remove" in (local.outdir / "report.html").read_text()


@pytest.mark.timeout(2400)
def test_containers_give_the_same_scores(local: Run, contained: Run) -> None:
    assert contained.code == 0, contained.text[-3000:]
    with_containers, without = (pd.read_parquet(run.outdir / "scores.parquet") for run in (contained, local))
    both = without.merge(with_containers, on=KEY, suffixes=("", "_docker"), validate="1:1")
    assert len(both) == len(without) == len(with_containers)
    for column in ("value", "value_low", "value_high", "scaled"):
        np.testing.assert_allclose(
            both[column].to_numpy(float), both[f"{column}_docker"].to_numpy(float), rtol=1e-5, atol=1e-6, err_msg=column
        )
