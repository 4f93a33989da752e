"""A view hides what it must, and the solution has it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval import contract, tasks
from sceval.contract import CellFile, ContractError
from sceval.contract.sample import take
from sceval.data.dataset import read_dataset
from sceval.data.preprocess import log_cp10k
from sceval.data.sheets import DATASETS

ANNOTATION = tasks.get("cell_type_annotation")
INTEGRATION = tasks.get("batch_integration")


def _everything(cells: CellFile) -> str:
    """Every text that stands anywhere in a file."""
    parts = [*cells.obs.values(), *cells.var.values(), cells.obs_names, cells.var_names]
    return " ".join(str(item) for part in parts for item in part) + str(cells.uns) + str(sorted(cells.obsm))


def test_integration_shows_no_label_and_every_cell(planted, integration, tmp_path):
    view, solution = integration
    assert sorted(view.obs) == ["batch"]
    assert not any(name in _everything(view) for name in set(planted.obs["cell_type"]))
    assert view.n_obs == 700
    assert np.array_equal(view.X.toarray(), planted.X.toarray())
    assert np.array_equal(solution.obs["cell_type"], planted.obs["cell_type"])
    assert np.array_equal(solution.obs_names, view.obs_names)
    assert solution.obsm["X_pre"].shape == (700, 50)
    assert solution.X is None
    contract.write("view", tmp_path / "view.h5ad", view)
    contract.write("solution", tmp_path / "solution.h5ad", solution)


def test_log_normalised_data_are_not_logged_again(planted):
    cells = take(planted, np.arange(100))
    logged = take(planted, np.arange(100))
    logged.X = log_cp10k(logged.X)
    logged.uns = {"sceval": {"organism": "human", "matrix": "lognorm"}}
    found = [INTEGRATION.prepare(data, None, "d", "all", 0)[1].obsm["X_pre"] for data in (cells, logged)]
    np.testing.assert_allclose(np.abs(found[0]), np.abs(found[1]), atol=1e-3)


@pytest.mark.parametrize("split", ["intra", "inter"])
def test_annotation_hides_the_labels_of_test_cells_alone(planted, split, tmp_path):
    view, solution = ANNOTATION.prepare(planted, None, "d", split, 1)
    test = view.obs["part"] == "test"
    assert [label is None for label in view.obs["cell_type"]] == test.tolist()
    assert np.array_equal(view.obs["cell_type"][~test], planted.obs["cell_type"][~test])
    assert np.array_equal(solution.obs["cell_type"], planted.obs["cell_type"])
    assert np.array_equal(solution.obs["part"], view.obs["part"])
    assert 0.2 < test.mean() < 0.7
    assert not view.obsm
    for name, cells in (("view", view), ("solution", solution)):
        contract.write(name, tmp_path / f"{name}.h5ad", cells)
    again = contract.read("view", tmp_path / "view.h5ad")
    assert [label is None for label in again.obs["cell_type"]] == test.tolist()  # and not "None" or "nan"


def test_split_seeds_make_other_views_and_repeat(planted):
    parts = [ANNOTATION.prepare(planted, None, "d", "intra", seed)[0].obs["part"] for seed in (0, 1, 0)]
    assert not np.array_equal(parts[0], parts[1])
    assert np.array_equal(parts[0], parts[2])


def test_inter_holds_whole_batches_out(planted):
    view, _ = ANNOTATION.prepare(planted, None, "d", "inter", 0)
    for name in set(view.obs["batch"]):
        parts = set(view.obs["part"][view.obs["batch"] == name])
        assert parts == {"test"} or "test" not in parts


def test_missing_labels_never_become_a_class(planted):
    cells = take(planted, np.arange(200))
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs["cell_type"][:40] = None
    view, solution = ANNOTATION.prepare(cells, None, "d", "intra", 0)
    assert not (view.obs["part"][:40] == "test").any()
    assert {label for label in view.obs["cell_type"] if label is not None} <= set(planted.obs["cell_type"])
    given = ANNOTATION.oracle(view, solution, 0)
    assert "None" not in given.classes.tolist()
    assert None not in given.classes.tolist()
    assert INTEGRATION.oracle(view, solution, 0).X.shape == (200, len(given.classes))


def test_missing_labels_of_a_file_reach_the_classes_as_nothing(tmp_path, planted):
    """From the file through reading, view and oracle: `nan` is no type at any step."""
    cells = take(planted, np.arange(120))
    cells.obs["cell_type"] = cells.obs["cell_type"].copy()
    cells.obs["cell_type"][:30] = ["nan", None, "NA"] * 10
    contract.h5ad.write(tmp_path / "d.h5ad", cells)
    row = {column.name: column.default for column in DATASETS} | {"row": 2, "path": "d.h5ad"}
    data = read_dataset(row | {"batch_key": "batch", "label_key": "cell_type"}, tmp_path / "d.h5ad")
    view, solution = ANNOTATION.prepare(data, None, "d", "intra", 0)
    classes = ANNOTATION.oracle(view, solution, 0).classes
    assert set(classes) == set(planted.obs["cell_type"][30:120])


def _small(names: list[str], genes: list[str], labels: list[str | None], batch: bool = True) -> CellFile:
    rng = np.random.default_rng(len(names))
    cells = CellFile(
        np.array(names, object),
        np.array(genes, object),
        X=sparse.csr_matrix(rng.poisson(2.0, (len(names), len(genes))).astype(np.float32)),
    )
    cells.obs["cell_type"] = np.array(labels, object)
    if batch:
        cells.obs["batch"] = np.array([f"b{i % 2}" for i in range(len(names))], object)
    cells.var = {key: cells.var_names.copy() for key in ("gene_symbol", "ensembl_id")}
    cells.uns["sceval"] = {"organism": "human", "matrix": "counts"}
    return cells


def test_a_query_dataset_is_joined_by_gene_ids(tmp_path):
    genes = [f"g{i}" for i in range(80)]
    data = _small([f"c{i}" for i in range(20)], genes, ["a", "b"] * 10)
    query = _small([f"c{i}" for i in range(10)], genes[::-1][:60], ["a", "c"] * 5)
    view, solution = ANNOTATION.prepare(data, query, "d", "inter", 0)
    assert view.n_obs == 30
    assert view.var_names.tolist() == genes[20:]  # the order of the dataset
    assert view.obs_names[20] == "query:c0"  # both have a cell c0
    assert (view.obs["part"][20:] == "test").all()
    assert not (view.obs["part"][:20] == "test").any()
    column = query.var_names.tolist().index("g50")
    assert np.array_equal(view.X[20:, 30].toarray().ravel(), query.X[:, column].toarray().ravel())
    assert np.array_equal(view.X[:20, 0].toarray(), data.X[:, 20].toarray())
    assert set(view.obs["batch"]) == {"b0", "b1", "query:b0", "query:b1"}  # b0 here is not b0 there
    assert solution.obs["cell_type"][21] == "c"
    contract.write("view", tmp_path / "view.h5ad", view)


def test_a_query_keeps_missing_labels_missing():
    genes = [f"g{i}" for i in range(60)]
    data = _small([f"c{i}" for i in range(20)], genes, ["a", "b"] * 10, batch=False)
    query = _small([f"c{i}" for i in range(4)], genes, ["a", None, "b", None], batch=False)
    _, solution = ANNOTATION.prepare(data, query, "d", "inter", 0)
    assert solution.obs["cell_type"][20:].tolist() == ["a", None, "b", None]
    del query.obs["cell_type"]
    with pytest.raises(ContractError, match="0 labelled test cells"):
        ANNOTATION.prepare(data, query, "d", "inter", 0)


def test_a_query_of_other_genes_is_refused():
    data = _small(["a", "b"], [f"g{i}" for i in range(60)], ["x", "y"])
    query = _small(["c"], [f"g{i}" for i in range(30)], ["x"])
    with pytest.raises(ContractError, match="30 genes shared"):
        ANNOTATION.prepare(data, query, "d", "inter", 0)


def test_unknown_tasks_are_named():
    with pytest.raises(KeyError, match="batch_integration"):
        tasks.get("integration")
