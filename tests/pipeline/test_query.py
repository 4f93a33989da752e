"""The `inter` split with a second dataset as its test part, both files in place, shared head included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pipelines import Pipeline, write_dataset, write_sheet

from sceval.contract import CellFile, h5ad


def _half(cells: CellFile, rows: np.ndarray, genes: np.ndarray) -> CellFile:
    out = CellFile(cells.obs_names[rows], cells.var_names[genes], X=cells.X[rows][:, genes].tocsr())
    out.obs = {key: values[rows] for key, values in cells.obs.items()}
    return out


@pytest.mark.timeout(900)
def test_a_second_dataset_is_the_test_part(pipeline: Pipeline, tmp_path: Path) -> None:
    cells = write_dataset(tmp_path / "all.h5ad", n=240)
    even = np.arange(cells.n_obs) % 2 == 0
    genes = np.arange(cells.n_vars)
    h5ad.write(tmp_path / "reference.h5ad", _half(cells, np.flatnonzero(even), genes))
    h5ad.write(tmp_path / "query.h5ad", _half(cells, np.flatnonzero(~even), genes[::-1][:-10]))
    keys = {"batch_key": "sample", "label_key": "label", "tasks": "cell_type_annotation"}
    rows = [
        {"dataset": "reference", "path": "reference.h5ad", "query": "query", **keys},
        {"dataset": "query", "path": "query.h5ad", **keys},
    ]
    sheet = write_sheet(tmp_path / "datasets.csv", rows)
    options = ("--models", "pca,logreg", "--splits", "inter", "--seeds", "1", "--control_seeds", "2")
    run = pipeline("-profile", "venv", "--input", str(sheet), *options)
    assert run.code == 0, run.text[-3000:]
    runs = run.table("runs")
    joined = runs[(runs["dataset"] == "reference") & runs["model"].isin(["pca", "logreg"])]
    assert set(joined.loc[joined["status"] != "not_applicable", "status"]) == {"ok"}, joined[["run_id", "reason"]]
    scores = run.table("scores")
    mine = scores[(scores["dataset"] == "reference") & (scores["metric"] == "accuracy")].set_index("variant")["value"]
    assert float(mine["logreg-scratch"]) > 0.8
    assert float(mine["pca-probe"]) > 0.7
