"""Few labels, unseen types, another species: what is shown, what is asked, what the controls score."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sceval import contract, tasks
from sceval.contract import CellFile, h5ad
from sceval.contract.results import write_result
from sceval.data import embedded, splits
from sceval.data.dataset import read_dataset
from sceval.data.preprocess import column_moments, log_cp10k, pca
from sceval.data.sheets import DATASETS
from sceval.metrics.resampling import replicates
from sceval.models.controls import annotations
from sceval.models.reference import reference
from sceval.models.request import Request
from sceval.tasks.probe import probe

TASK = tasks.get("cell_type_annotation")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def lanes() -> CellFile:
    cells = embedded.load("pbmc68k_lanes")
    cells.uns["sceval"] = {"organism": "human", "matrix": "counts"}
    return cells


@pytest.fixture(scope="module")
def unseen(lanes):
    return TASK.prepare(lanes, None, "d", "unseen_type", 0)


def _value(view, solution, result, tmp_path) -> dict[str, float]:
    write_result(tmp_path / "output.h5ad", view, result)
    rows = int((solution.obs["part"] == "test").sum())
    return TASK.score(tmp_path / "output.h5ad", view, solution, replicates(rows, R=2), "sceval", False).values


def test_a_label_budget_shows_so_many_labels_and_larger_ones_hold_the_smaller(lanes):
    labels = lanes.obs["cell_type"]
    whole = splits.intra(labels, 3)
    shown = {}
    for budget in splits.BUDGETS:
        view, solution = TASK.prepare(lanes, None, "d", f"few_{budget}", 3)
        assert np.array_equal(view.obs["part"] == "test", whole == "test")  # one test part for the whole curve
        given = np.array([label is not None for label in view.obs["cell_type"]])
        counts = Counter(view.obs["cell_type"][given])
        available = Counter(labels[whole != "test"])
        assert counts == {name: min(budget, n) for name, n in available.items()}
        assert not (given & (view.obs["part"] == "test")).any()
        assert given[view.obs["part"] == "validation"].all()
        assert np.array_equal(solution.obs["cell_type"], labels)
        shown[budget] = set(np.flatnonzero(given))
    assert shown[5] < shown[20] < shown[50]


def test_whole_types_are_unseen_and_the_others_are_split_as_in_intra(lanes, unseen, tmp_path):
    view, solution = unseen
    labels = lanes.obs["cell_type"]
    part, held = splits.unseen_type(labels, 0)
    assert len(held) == 2  # a fifth of ten
    known = {label for label in view.obs["cell_type"] if label is not None}
    assert known == set(labels) - set(held)
    assert (view.obs["part"][np.isin(labels, held)] == "test").all()
    others = ~np.isin(labels, held)
    assert np.array_equal(part[others], splits.intra(labels, 0)[others])
    assert min(Counter(labels)[name] for name in held) >= splits.LEAST_UNSEEN
    drawn = {tuple(splits.unseen_type(labels, seed)[1]) for seed in range(6)}
    assert len(drawn) > 1
    for name, cells in (("view", view), ("solution", solution)):
        contract.write(name, tmp_path / f"{name}.h5ad", cells)
    with pytest.raises(ValueError, match="two others to learn"):
        splits.unseen_type(np.array(["a"] * 30 + ["b"] * 30, object), 0)


def test_controls_stand_where_they_must_on_unseen_types(unseen, tmp_path):
    view, solution = unseen
    oracle = _value(view, solution, TASK.oracle(view, solution, 0), tmp_path)
    assert oracle["unseen_auroc"] > 0.95
    assert oracle["unseen_auprc"] > 0.9
    assert oracle["accuracy"] > 0.95  # of the cells whose type the reference has
    request = Request(view, "scratch", {}, 0, "cpu")
    majority = _value(view, solution, annotations.majority(request, reference(request)), tmp_path)
    assert majority["unseen_auroc"] == pytest.approx(0.5)
    anchors = TASK.anchors(view, solution)
    assert majority["unseen_auprc"] == pytest.approx(anchors["unseen_auprc"]["floor"][0])
    X = pca(log_cp10k(view.X), 20)[0]
    honest = _value(view, solution, probe(view, X)[0], tmp_path)
    for name in ("rejection_auc", "accuracy_at_70"):
        assert majority[name] < honest[name] < oracle[name] <= anchors[name]["ceiling"][0] + 1e-9
    assert 0.5 < honest["unseen_auroc"] < oracle["unseen_auroc"]
    # the other splits have neither
    assert TASK.anchors(view, CellFile(solution.obs_names, uns={"sceval": {"split": "intra"}}, obs=solution.obs)) == {}


def test_without_confidence_only_abstaining_tells_an_unseen_type(unseen, tmp_path):
    view, solution = unseen
    rows = np.flatnonzero(view.obs["part"] == "test")
    prediction = np.where(rows % 2 == 0, "unassigned", "CD14+ Monocyte").astype(object)
    h5ad.write(tmp_path / "output.h5ad", CellFile(view.obs_names[rows], obs={"prediction": prediction}))
    scored = TASK.score(tmp_path / "output.h5ad", view, solution, replicates(len(rows), R=2), "sceval", False)
    assert any("only `unassigned` tells" in line for line in scored.findings)
    assert abs(scored.values["unseen_auroc"] - 0.5) < 0.1
    assert np.isnan(scored.values["log_loss"])


# -- real data --------------------------------------------------------------------------------------------------------


def _read(path: Path, **columns) -> CellFile:
    row = {column.name: column.default for column in DATASETS} | {"row": 2, "path": path.name}
    return read_dataset(row | columns, path)


def _need(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the data set {name} of the project's shared folder is not here")
    return path


def test_human_labels_reach_mouse_cells_and_the_other_way_round(tmp_path):
    """Baron et al. 2016: five types of the pancreas, 35 cells each in both species."""
    cells = h5ad.read(_need("pancreas_human_mouse_baron.h5ad"))
    species = cells.obs["species"].astype(str)
    data = {}
    for name in ("human", "mouse"):
        rows = np.flatnonzero(species == name)
        genes = np.arange(0, cells.n_vars, 4)
        part = CellFile(cells.obs_names[rows], cells.var_names[genes], X=cells.X[rows][:, genes])
        part.obs = {key: cells.obs[key][rows] for key in ("cell_type", "batch")}
        if name == "mouse":  # as a mouse file names its genes
            part.var_names = np.array([text.capitalize() for text in part.var_names], object)
        h5ad.write(tmp_path / f"{name}.h5ad", part)
        data[name] = _read(tmp_path / f"{name}.h5ad", organism=name, batch_key="batch", label_key="cell_type")
    for one, other in (("human", "mouse"), ("mouse", "human")):
        view, solution = TASK.prepare(data[one], data[other], "d", "cross_species", 0)
        assert view.uns["sceval"]["organism"] == "human"
        assert set(view.var_names) <= set(data["human"].var_names)
        assert view.n_vars > 2000
        assert int((view.obs["part"] == "test").sum()) == 175
        contract.write("view", tmp_path / "view.h5ad", view)
        X = log_cp10k(view.X)
        X = X[:, np.argsort(-column_moments(X)[1])[:400]].toarray()
        assert _value(view, solution, probe(view, X)[0], tmp_path)["accuracy"] > 0.6  # five types: chance is 0.2


def test_purified_cells_label_pbmc3k_after_their_labels_are_mapped(tmp_path):
    """`inter`, with the labels of both files brought to common names by the column label_map."""
    maps = json.loads(_need("genes/label_harmonisation.json").read_text())
    data = {}
    for name in ("pbmc_facs_zheng", "pbmc3k"):
        names = maps[name]["map"]
        cells = h5ad.read(_need(f"{name}.h5ad"))
        kept = np.flatnonzero(np.isin(cells.obs["cell_type"].astype(str), list(names)))[::8]
        genes = np.arange(0, cells.n_vars, 3) if name == "pbmc3k" else np.arange(cells.n_vars)
        part = CellFile(cells.obs_names[kept], cells.var_names[genes], X=cells.X[kept][:, genes])
        part.obs = {"cell_type": cells.obs["cell_type"][kept]}
        h5ad.write(tmp_path / f"{name}.h5ad", part)
        table = "from\tto\n" + "".join(f"{old}\t{new}\n" for old, new in names.items())
        (tmp_path / f"{name}.tsv").write_text(table)
        row = {column.name: column.default for column in DATASETS} | {"row": 2, "path": f"{name}.h5ad"}
        row |= {"label_key": "cell_type", "label_map": f"{name}.tsv"}
        data[name] = read_dataset(row, tmp_path / f"{name}.h5ad", files={"label_map": tmp_path / f"{name}.tsv"})
    for one, other in (("pbmc_facs_zheng", "pbmc3k"), ("pbmc3k", "pbmc_facs_zheng")):  # both directions
        view, solution = TASK.prepare(data[one], data[other], "d", "inter", 0)
        assert set(solution.obs["cell_type"]) == {"B", "NK", "CD4 T", "CD8 T", "Mono"}
        X = pca(log_cp10k(view.X), 20)[0]
        assert _value(view, solution, probe(view, X)[0], tmp_path)["accuracy"] > 0.4
