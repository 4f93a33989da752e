"""COLLECT from end to end: a plan, records and scored groups of 120 real cells become the tables of the results."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sceval import tasks
from sceval.contract import CellFile, columns, load
from sceval.contract import tables as contract_tables
from sceval.contract.results import Annotation, Embedding, write_result
from sceval.contract.sample import take
from sceval.data import embedded
from sceval.data.sheets import DATASETS
from sceval.data.validate import dataset_card
from sceval.planning.collect import collect
from sceval.planning.plan import Settings, make_plan
from sceval.planning.ranks import t_quantile
from sceval.tasks.probe import probe
from sceval.tasks.scoring import score_group

EMBEDS = {"embed-cells": ["scratch"]}
MODELS = {
    "random": ("negative_control", EMBEDS),
    "majority": ("negative_control", {"annotate": ["scratch"]}),
    "pca": ("baseline", EMBEDS),
    "blurred": ("model", EMBEDS),
    "constant": ("model", EMBEDS),  # its output is refused
    "hungry": ("model", EMBEDS),  # runs out of memory
    "mute": ("model", None),  # does not answer
}
TRACE = "task_id\tname\tstatus\texit\n"


def _data() -> CellFile:
    cells = embedded.load("pbmc68k_planted_1")
    rng = np.random.default_rng(0)
    big = np.isin(cells.obs["cell_type"], ["CD14+ Monocyte", "CD19+ B", "Dendritic"])
    kept = take(cells, np.sort(rng.permutation(np.flatnonzero(big))[:120]))
    kept.uns["sceval"] = {"organism": "human", "matrix": "counts"}
    return kept


def _plan(data: CellFile, score_batch: int):
    row = {column.name: column.default for column in DATASETS} | {
        "dataset": "d",
        "path": "d.h5ad",
        "row": 2,
        "tasks": [],
    }
    card = dataset_card(row, data)
    models, infos = [], {}
    for name, (kind, regimes) in MODELS.items():
        models.append(
            {"model": name, "key": name, "image": "i", "program": "p", "params": {}, "regimes": [], "weights": "",
             "kind": kind, "verbs": [], "row": 2}
        )  # fmt: skip
        answer = {"name": name, "version": "1", "verbs": list(regimes or {}), "regimes": regimes}
        infos[name] = {"info": answer, "genes": None} if regimes else {"error": "no such image"}
    settings = Settings(splits=("intra",), seeds=2, control_seeds=2, score_batch=score_batch)
    return card, make_plan([card], models, infos, settings)


def _output(row: dict, view: CellFile, solution: CellFile, pre: np.ndarray):
    """What each run of the plan would have written."""
    rng = np.random.default_rng(row["seed"] + 10)
    if row["model"] == "oracle":
        return tasks.get(row["task"]).oracle(view, solution, row["seed"])
    if row["verb"] == "annotate":
        classes, n = np.unique([label for label in view.obs["cell_type"] if label is not None], return_counts=True)
        test = np.flatnonzero(view.obs["part"] == "test")
        return Annotation(test, classes.astype(object), np.tile(n / n.sum(), (len(test), 1)))
    noise = {"random": rng.normal(size=(len(pre), 8)), "constant": np.ones((len(pre), 3))}
    X = noise.get(row["model"], pre + (row["model"] == "blurred") * rng.normal(0, pre.std(), pre.shape))
    return Embedding(X) if row["verb"] == "embed-cells" else probe(view, X)[0]


def _views(data: CellFile, plan) -> dict[str, tuple[CellFile, CellFile]]:
    return {
        view_id: tasks.get(view["task"]).prepare(data, None, "d", view["split"], view["split_seed"])
        for view_id, view in plan.views.items()
    }


def _write_runs(folder: Path) -> None:
    """Write what RUN would have left: a record of each run that started, and its output."""
    data = _data()
    plan = _plan(data, 0)[1]
    made = _views(data, plan)
    pre = next(solution.obsm["X_pre"] for _, solution in made.values() if "X_pre" in solution.obsm)
    by_id = {row["run_id"]: row for row in plan.rows}
    failed = {run_id for run_id in plan.runs if by_id[run_id]["model"] == "hungry"}
    for run_id, run in plan.runs.items():
        if by_id[run_id]["needs"] in failed:
            continue  # never started
        record = {"run_id": run_id, "status": "ok", "reason": "", "attempt": 1, "wall_s": 2.0, "cpu_s": 1.5}
        record |= {"peak_rss_mb": 50, "program": {"cells_per_s": 60.0, "warnings": ["capped"]}}
        if run_id in failed:
            record |= {"status": "failed", "reason": "out_of_memory: more than 2000 MB", "attempt": 2}
        else:
            view, solution = made[run["view_id"]]
            write_result(folder / "outputs" / run_id / "output.h5ad", view, _output(by_id[run_id], view, solution, pre))
        path = folder / "records" / run_id / "run.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(record))


def _score(folder: Path, target: Path, score_batch: int) -> None:
    """Write what SCORE would have left, in chunks of `score_batch` runs."""
    data = _data()
    plan = _plan(data, score_batch)[1]
    made = _views(data, plan)
    for group in plan.groups:
        view, solution = made[group["view_id"]]
        task = tasks.get(group["task"])
        score_group(task, view, solution, group["runs"], folder / "outputs", "sceval", target / group["group_id"])


def _collect(records: Path, scored: Path, folder: Path, trace: str = TRACE) -> dict[str, pd.DataFrame]:
    card, plan = _plan(_data(), 0)
    with (folder / "plan.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, columns("plan"))
        writer.writeheader()
        writer.writerows(plan.rows)
    (folder / "trace.txt").write_text(trace)
    (folder / "tables").mkdir()
    versions = {"params": {}}
    return collect(folder / "plan.csv", [card], records, scored, folder / "trace.txt", versions, folder / "tables")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("collect")
    _write_runs(path)
    _score(path, path / "scored", score_batch=0)
    return path


@pytest.fixture(scope="module")
def found(folder):
    return _collect(folder / "records", folder / "scored", folder)


def test_every_table_is_written_and_follows_its_schema(folder, found):
    assert set(found) >= {"runs", "plan", "scores", "summary", "differences", "units", "replicates", "findings"}
    for name in found:
        table = contract_tables.read(name, folder / "tables" / f"{name}.parquet")
        assert len(table) == len(found[name])
        key = load(name).get("key")
        assert not key or not table.duplicated(key).any(), name
    for name in ("scores", "summary", "runs", "plan"):
        assert len(contract_tables.read(name, folder / "tables" / f"{name}.csv")) == len(found[name])
    cards = json.loads((folder / "tables" / "datasets.json").read_text())
    assert "gene_symbols" not in cards[0]
    assert cards[0]["n_cells"] == 120
    versions = json.loads((folder / "tables" / "versions.json").read_text())
    assert set(versions) >= {"params", "sceval", "packages", "finished"}


def test_every_planned_run_has_a_status_in_the_order_of_the_plan(found):
    runs = found["runs"].set_index("run_id")
    assert list(runs.index) == list(found["plan"]["run_id"])
    assert set(runs[runs["model"] == "mute"]["status"]) == {"failed"}
    assert "does not answer `info`: no such image" in runs[runs["model"] == "mute"]["reason"].iloc[0]
    hungry = runs[runs["model"] == "hungry"]
    embedded_, probed = hungry[hungry["task"] == "batch_integration"], hungry[hungry["regime"] == "probe"]
    assert set(embedded_[embedded_["regime"] == "scratch"]["reason"]) == {"out_of_memory: more than 2000 MB"}
    annotated = probed[probed["task"] == "cell_type_annotation"]
    assert set(annotated["status"]) == {"not_run"}
    assert annotated["reason"].str.contains("which is failed .out_of_memory", regex=True).all()
    constant = runs[
        (runs["model"] == "constant") & (runs["regime"] == "scratch") & (runs["task"] == "batch_integration")
    ]
    assert set(constant["status"]) == {"failed"}
    assert constant["reason"].str.startswith("bad_output: the embedding is constant").all()
    assert set(runs[runs["model"].isin(["pca", "oracle"]) & runs["reason"].isna()]["status"]) == {"ok"}
    assert runs.loc[runs["model"].eq("pca") & runs["status"].eq("ok"), "warnings"].eq("capped").all()


def test_a_probe_costs_its_embedding_too(found):
    runs = found["runs"]
    probes = runs[(runs["regime"] == "probe") & (runs["status"] == "ok")]
    assert probes["total_cpu_s"].eq(3.0).all()
    alone = runs[(runs["model"] == "pca") & (runs["task"] == "batch_integration") & (runs["status"] == "ok")]
    assert alone["total_cpu_s"].eq(1.5).all()


def test_scores_stand_between_their_anchors(found):
    scores = found["scores"]
    assert set(scores["run_id"]) <= set(found["runs"]["run_id"])
    assert not {"constant", "hungry", "mute"} & set(scores[scores["task"] == "batch_integration"]["model"])
    width = scores["anchor1"] - scores["anchor0"]
    again = (scores["value"] - scores["anchor0"]) / width
    np.testing.assert_allclose(scores["scaled"].dropna(), again[scores["scaled"].notna()])
    inside = scores.dropna(subset=["value", "value_low"])
    assert len(inside) > 100
    assert (inside["value_low"] <= inside["value"] + 1e-9).all()
    assert (inside["value"] <= inside["value_high"] + 1e-9).all()
    assert ((scores["low"] <= scores["scaled"] + 1e-9) | scores["low"].isna()).all()
    blind = scores[(scores["metric"] == "nmi") & (scores["kind"] == "negative_control")]
    assert blind["scaled"].mean() == pytest.approx(0.0, abs=1e-9)  # the only control of this plan is anchor 0
    oracle = scores[(scores["metric"] == "nmi") & (scores["kind"] == "positive_control")]
    assert oracle["scaled"].mean() == pytest.approx(1.0)
    pca = scores[(scores["metric"] == "nmi") & (scores["model"] == "pca")]
    assert pca["anchor0_source"].eq("random-scratch").all()
    assert (pca["scaled"] > 0.3).all()


def test_the_summary_pools_seeds_ranks_and_says_how_much_is_there(found):
    summary = found["summary"].set_index(["task", "metric", "variant"])
    row = summary.loc["batch_integration", "s_final", "pca-scratch"]
    scores = found["scores"]
    mine = scores[(scores["metric"] == "s_final") & (scores["variant"] == "pca-scratch")]
    assert row["n_runs"] == 2
    assert row["value"] == pytest.approx(mine["value"].mean())
    assert row["scaled"] == pytest.approx(mine["scaled"].mean())
    assert row["coverage"] == 1.0
    assert row["rank"] == 1
    assert row["rank_low"] <= row["rank"] <= row["rank_high"]
    assert summary.loc["batch_integration", "s_final", "blurred-scratch"]["rank"] == 2
    assert pd.isna(summary.loc["batch_integration", "s_final", "random-scratch"]["rank"])  # a control is no competitor
    pairs = found["differences"]
    pair = pairs[(pairs["metric"] == "s_final") & (pairs["a"] == "pca-scratch") & (pairs["b"] == "blurred-scratch")]
    assert pair["difference"].iloc[0] == pytest.approx(
        row["value"] - summary.loc["batch_integration", "s_final", "blurred-scratch"]["value"]
    )
    assert pair["cost_ratio"].iloc[0] == pytest.approx(1.0)
    assert scores.loc[scores["metric"] == "s_final", "mdd"].gt(0).all()


def test_the_interval_of_scaled_holds_the_spread_of_the_anchors(found):
    summary = found["summary"].set_index(["metric", "variant"])
    scores = found["scores"].set_index(["metric", "variant"]).sort_index()
    row, first = summary.loc["nmi", "pca-scratch"], scores.loc["nmi", "pca-scratch"].iloc[0]
    width = first["anchor1"] - first["anchor0"]
    assert first["anchor0_se"] > 0
    unit = (row["value_high"] - row["value"]) / width  # half of the interval without that spread
    spread = t_quantile(first["df"]) * (1 - row["scaled"]) * first["anchor0_se"] / width
    more = t_quantile(first["df"]) * row["scaled"] * first["anchor1_se"] / width
    assert row["high"] - row["scaled"] == pytest.approx(np.linalg.norm([unit, spread, more]))


def test_a_missing_anchor_is_said(folder, tmp_path):
    shutil.copytree(folder / "scored", tmp_path / "scored")
    for path in (tmp_path / "scored").glob("*/anchors.parquet"):
        path.unlink()
    scores = _collect(folder / "records", tmp_path / "scored", tmp_path)["scores"].set_index("metric")
    assert scores.loc["ilisi_knn", "note"].str.contains("an anchor is missing").all()
    assert not scores.loc["ilisi_knn", "informative"].any()
    assert scores.loc["ilisi_knn", "scaled"].isna().all()
    assert scores.loc["nmi", "scaled"].notna().all()


def test_scoring_in_chunks_changes_nothing(folder, tmp_path, found):
    _score(folder, tmp_path / "scored", score_batch=3)
    assert len(list((tmp_path / "scored").iterdir())) > 2
    chunked = _collect(folder / "records", tmp_path / "scored", tmp_path)
    keys = ["run_id", "metric"]
    one, many = (table.sort_values(keys).reset_index(drop=True) for table in (found["scores"], chunked["scores"]))
    pd.testing.assert_frame_equal(one, many)


def test_nothing_scored_still_gives_tables_and_statuses(tmp_path):
    for name in ("records", "scored"):
        (tmp_path / name).mkdir()
    trace = TRACE + "1\tX:PREPARE (d.batch_integration.all0)\tFAILED\t1\n"
    tables = _collect(tmp_path / "records", tmp_path / "scored", tmp_path, trace)
    assert len(tables["scores"]) == 0
    runs = tables["runs"]
    lost = runs[(runs["task"] == "batch_integration") & (runs["status"] == "not_run")]
    assert lost["reason"].str.startswith("its view could not be prepared").all()
    assert len(lost) > 3
    started = runs[(runs["task"] == "cell_type_annotation") & (runs["model"] == "oracle")]
    assert set(started["reason"]) == {"the pipeline ended before it started"}
    contract_tables.read("summary", tmp_path / "tables" / "summary.parquet")


def test_scores_without_replicates_have_no_interval(folder, tmp_path):
    """What `--metrics_backend scib` leaves: values and no replicate."""
    shutil.copytree(folder / "scored", tmp_path / "scored")
    for path in (tmp_path / "scored").glob("*/replicates.parquet"):
        path.unlink()
    scores = _collect(folder / "records", tmp_path / "scored", tmp_path)["scores"]
    assert scores["value"].notna().any()
    assert scores["value_low"].isna().all()
    assert scores["scaled"].notna().any()
    assert scores["low"].isna().all()
