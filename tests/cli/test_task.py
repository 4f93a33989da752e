"""`sceval-task prepare | oracle | probe | score`, as the pipeline calls them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from sceval import contract
from sceval.cli.task import main
from sceval.contract import CellFile, h5ad
from sceval.contract.results import Embedding, write_embedding
from sceval.contract.sample import take
from sceval.data import embedded
from sceval.data.sheets import DATASETS


def _call(*given):
    return CliRunner().invoke(main, [str(item) for item in given])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset of 150 real cells, and both of its views."""
    path = tmp_path_factory.mktemp("task")
    cells = embedded.load("pbmc68k_planted_1")
    h5ad.write(path / "d.h5ad", take(cells, np.sort(np.random.default_rng(0).permutation(700)[:150])))
    row = {column.name: column.default for column in DATASETS} | {"row": 2, "dataset": "d", "path": "d.h5ad"}
    row |= {"batch_key": "batch", "label_key": "cell_type"}
    (path / "rows.json").write_text(json.dumps({"row": row, "query_row": None}))
    for task, split in (("batch_integration", "all"), ("cell_type_annotation", "intra")):
        given = ["--dataset", "d", "--rows", path / "rows.json", "--data", path / "d.h5ad", "--split", split]
        result = _call("prepare", "--task", task, *given, "--split-seed", 0, "--out", path / task)
        assert result.exit_code == 0, result.output
        assert f"d, {task}, {split}: 150 cells x 765 genes" in result.output
    return path


def test_views_and_solutions_follow_the_contract(folder):
    for task in ("batch_integration", "cell_type_annotation"):
        view = contract.read("view", folder / task / "view.h5ad")
        solution = contract.read("solution", folder / task / "solution.h5ad")
        assert np.array_equal(view.obs_names, solution.obs_names)
        assert view.uns["sceval"]["task"] == task


def _score(folder, task, runs):
    place = folder / task
    rows = [{"run_id": run, "output_of": run, "picture": False} for run in runs]
    (place / "runs.json").write_text(json.dumps(rows))
    given = ["--view", place / "view.h5ad", "--solution", place / "solution.h5ad", "--outputs", place / "outputs"]
    result = _call("score", "--task", task, *given, "--runs", place / "runs.json", "--out", place / "scored")
    assert result.exit_code == 0, result.output
    return result, json.loads((place / "scored" / "verdicts.json").read_text())


def test_oracle_probe_and_score_work_together(folder):
    integration, annotation = folder / "batch_integration", folder / "cell_type_annotation"
    pre = contract.read("solution", integration / "solution.h5ad").obsm["X_pre"]
    view = contract.read("view", integration / "view.h5ad")
    (integration / "outputs" / "pca").mkdir(parents=True)
    write_embedding(integration / "outputs" / "pca" / "output.h5ad", view, Embedding(pre))
    for place in (integration, annotation):
        given = ["--view", place / "view.h5ad", "--solution", place / "solution.h5ad"]
        result = _call("oracle", *given, "--output", place / "outputs" / "oracle" / "output.h5ad", "--seed", 1)
        assert result.exit_code == 0, result.output
    output = annotation / "outputs" / "pca" / "output.h5ad"
    embedding = integration / "outputs" / "pca" / "output.h5ad"
    result = _call("probe", "--view", annotation / "view.h5ad", "--embedding", embedding, "--output", output)
    assert result.exit_code == 0, result.output
    facts = json.loads(output.with_name("facts.json").read_text())
    assert facts["params"]["C"] > 0
    for place in (integration, annotation):
        result, verdicts = _score(folder, place.name, ["oracle", "pca"])
        assert verdicts == {name: {"ok": True, "reason": ""} for name in ("oracle", "pca")}
        assert "2 outputs scored, 0 refused" in result.output
        assert (place / "scored" / "values.parquet").is_file()


def test_probe_refuses_an_embedding_that_cannot_be_used(folder, tmp_path):
    view = contract.read("view", folder / "cell_type_annotation" / "view.h5ad")
    h5ad.write(tmp_path / "bad.h5ad", CellFile(view.obs_names, obsm={"X_emb": np.ones((150, 2), "f4")}))
    given = ["--view", folder / "cell_type_annotation" / "view.h5ad", "--embedding", tmp_path / "bad.h5ad"]
    result = _call("probe", *given, "--output", tmp_path / "out" / "output.h5ad")
    assert result.exit_code == 1
    assert "the embedding cannot be used: the embedding is constant" in result.output
    assert not (tmp_path / "out").exists()


def test_unknown_tasks_are_refused_with_the_known_ones():
    result = _call("score", "--task", "integration")
    assert result.exit_code == 2
    assert "batch_integration" in result.output


@pytest.mark.parametrize("command", ["prepare", "score", "probe", "oracle"])
def test_help(command):
    result = _call(command, "--help")
    assert result.exit_code == 0
    assert "--" in result.output
