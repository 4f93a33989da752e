"""Bad input is told before any model runs: file, row, column, what was found, what would be right."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile, ContractError, h5ad
from sceval.data.dataset import check_dataset, read_dataset
from sceval.data.sheets import DATASETS, Sheet, read_datasets, read_models
from sceval.data.validate import check_choice, dataset_card, task_problems, validate

TASKS = ["batch_integration", "cell_type_annotation"]


def _row(path: str, **columns) -> dict:
    row = {column.name: column.default for column in DATASETS} | {"tasks": [], "row": 2, "dataset": "d"}
    return row | {"path": path, "batch_key": "batch", "label_key": "cell_type"} | columns


def _cells(n: int = 12, g: int = 60) -> CellFile:
    rng = np.random.default_rng(0)
    X = rng.poisson(2.0, (n, g)).astype(float)
    X[:, 0] += 1
    cells = CellFile(
        np.array([f"c{i}" for i in range(n)], object),
        np.array([f"g{i}" for i in range(g)], object),
        X=sparse.csr_matrix(X),
    )
    cells.obs["batch"] = np.array([f"b{i % 2}" for i in range(n)], object)
    cells.obs["cell_type"] = np.array([f"t{i % 3}" for i in range(n)], object)
    cells.var["symbol"] = np.array([f"GENE{i}" for i in range(g)], object)
    cells.var["ensembl"] = np.array([f"ENSG{i:011d}.{i}" for i in range(g)], object)
    return cells


@pytest.fixture
def load(tmp_path):
    """Write cells, read them as a sheet row says, check them; return the messages, or the data where there are none."""

    def run(cells: CellFile, **columns):
        path = tmp_path / "data.h5ad"
        h5ad.write(path, cells)
        row = _row("data.h5ad", **columns)
        try:
            data = read_dataset(row, path, "sheet.csv")
        except ContractError as error:
            return [str(problem) for problem in error.problems]
        return [str(problem) for problem in check_dataset(row, data, "sheet.csv")] or data

    return run


def _message(result) -> str:
    assert isinstance(result, list), "nothing was found"
    assert len(result) == 1, result
    return result[0]


def test_a_good_file_is_read_as_its_row_says(load):
    cells = _cells()
    cells.layers["raw"] = cells.X * 2
    data = load(cells, layer="raw", gene_symbol="symbol", ensembl_id="ensembl")
    assert sparse.isspmatrix_csr(data.X)
    assert data.X.dtype == np.float32
    assert np.array_equal(data.X.toarray(), 2 * cells.X.toarray())
    assert data.var["gene_symbol"][3] == "GENE3"
    assert data.var["ensembl_id"][3] == "ENSG00000000003"  # without its version
    assert data.uns["sceval"] == {"organism": "human", "matrix": "counts"}
    assert list(data.obs) == ["batch", "cell_type"]


def test_the_index_stands_for_gene_symbols_where_no_column_is_named(load):
    data = load(_cells())
    assert data.var["gene_symbol"][1] == "g1"
    assert set(data.var["ensembl_id"]) == {""}


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"batch_key": "bacth"}, ["row 2, column batch_key", "'bacth'", "a column of obs", "mean 'batch'"]),
        ({"label_key": "celltype"}, ["column label_key", "'celltype'", "mean 'cell_type'"]),
        ({"layer": "count"}, ["column layer", "'count'", "mean 'counts'"]),
        ({"gene_symbol": "symbols"}, ["column gene_symbol", "'symbols'", "a column of var", "mean 'symbol'"]),
        ({"ensembl_id": "ensemble"}, ["column ensembl_id", "'ensemble'", "mean 'ensembl'"]),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_right_one(load, columns, parts):
    cells = _cells()
    cells.layers["counts"] = cells.X
    message = _message(load(cells, **columns))
    assert message.startswith("sheet.csv, row 2, column")
    for part in parts:
        assert part in message


def _log(cells):
    cells.X.data = np.log1p(cells.X.data / 3)


def _scale(cells):
    dense = cells.X.toarray()
    cells.X = sparse.csr_matrix((dense - dense.mean(axis=0)) / (dense.std(axis=0) + 1))


def _set(value):
    def change(cells):
        cells.X[4, 0] = value

    return change


@pytest.mark.parametrize(
    ("change", "columns", "found", "expected"),
    [
        (_log, {}, "a log-normalised matrix", "raw integer counts (or declare the matrix as `lognorm`"),
        (_scale, {}, "a scaled matrix", "raw integer counts"),
        (_set(-3.0), {}, "1 negative values, first -3 at row 4, column 0", "0 and more"),
        (_set(np.nan), {}, "1 values that are NaN or infinite, first at row 4, column 0", "finite"),
        (_set(np.inf), {}, "1 values that are NaN or infinite, first at row 4, column 0", "finite"),
        (_scale, {"matrix": "lognorm"}, "negative values", "0 and more"),
        (lambda _cells: None, {"matrix": "lognorm"}, "whole numbers only", "log-normalised values"),
        (lambda _cells: None, {"matrix": "binary"}, "a value of", "0 and 1 only"),
    ],
)
def test_a_matrix_that_is_not_what_the_row_says(load, change, columns, found, expected):
    cells = _cells()
    change(cells)
    message = _message(load(cells, **columns))
    assert message.startswith("sheet.csv, row 2 (data.h5ad): X")
    assert found in message.split("; expected ")[0]
    assert expected in message.split("; expected ")[1]


def test_log_normalised_and_binary_matrices_are_taken_where_declared(load):
    cells = _cells()
    _log(cells)
    assert load(cells, matrix="lognorm").uns["sceval"]["matrix"] == "lognorm"
    cells.X.data[:] = 1.0
    assert load(cells, matrix="binary").n_obs == 12


def test_repeated_ids_are_told_with_their_row(load):
    cells = _cells()
    cells.obs_names[7] = "c2"
    assert "cell id 'c2' a second time, in row 7 (1 repeated in all)" in _message(load(cells))
    cells = _cells()
    cells.var_names[5] = "g0"
    message = _message(load(cells))
    assert "index of var" in message
    assert "gene id 'g0' a second time, in row 5" in message


def test_cells_without_a_batch_or_without_counts_are_told(load):
    cells = _cells()
    cells.obs["batch"][[3, 9]] = [None, "nan"]
    message = _message(load(cells))
    assert "obs['batch']" in message
    assert "2 cells without a batch, first in row 3" in message
    cells = _cells()
    cells.X = sparse.csr_matrix(cells.X.toarray() * (np.arange(12) != 6)[:, None])
    assert "1 cells without any count, first in row 6" in _message(load(cells))


def test_the_word_for_abstaining_is_no_type(load):
    cells = _cells()
    cells.obs["cell_type"][:2] = "unassigned"
    assert "2 cells of type 'unassigned'" in _message(load(cells))


def test_a_matrix_of_the_wrong_shape_or_of_text_is_told(load):
    cells = _cells()
    cells.X = cells.X.T.tocsr()
    assert "a matrix of 60 x 12 entries" in _message(load(cells))
    cells = _cells()
    cells.X = None
    assert "without X" in _message(load(cells))
    cells.layers["text"] = np.full((12, 60), "x", object)
    assert "of type object in data.h5ad; expected numbers, 12 cells x 60 genes" in _message(load(cells, layer="text"))


def test_missing_labels_are_none_whatever_they_are_called(load):
    cells = _cells()
    cells.obs["cell_type"][:6] = ["nan", "NA", " ", "None", "", None]
    data = load(cells)
    assert [label is None for label in data.obs["cell_type"]] == [True] * 6 + [False] * 6
    card = dataset_card(_row("data.h5ad"), data)
    assert card["unlabelled"] == 6
    assert sorted(card["cells_per_type"]) == ["t0", "t1", "t2"]
    cells.obs["cell_type"] = np.where(np.arange(12) < 6, np.nan, 3.0)  # a column of numbers with gaps
    assert sum(label is None for label in load(cells).obs["cell_type"]) == 6


def test_missing_files_and_files_of_another_kind_are_told(tmp_path):
    (tmp_path / "text.h5ad").write_text("not HDF5")
    with h5py.File(tmp_path / "other.h5ad", "w") as handle:
        handle["x"] = 1
    for name, found in (("absent.h5ad", "no file"), ("text.h5ad", "cannot be read"), ("other.h5ad", "cannot be read")):
        with pytest.raises(ContractError) as caught:
            read_dataset(_row(name), tmp_path / name, "sheet.csv")
        message = _message([str(problem) for problem in caught.value.problems])
        assert message.startswith("sheet.csv, row 2, column path: found")
        assert found in message
        assert name in message
    with pytest.raises(ContractError, match="did you mean 'embedded:pbmc68k_lanes'"):
        read_dataset(_row("embedded:pbmc68k_lane"), None, "sheet.csv")


def test_a_file_from_before_anndata_08_is_read_through_anndata():
    spec = find_spec("scanpy")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "10x_pbmc68k_reduced.h5ad"
    row = _row(path.name, batch_key="phase", label_key="bulk_labels")
    data = read_dataset(row, path, "sheet.csv")
    assert data.X.shape == (700, 765)
    assert len(set(data.obs["cell_type"])) == 10
    assert sorted(set(data.obs["batch"])) == ["G1", "G2M", "S"]
    assert "a scaled matrix" in _message([str(problem) for problem in check_dataset(row, data, "sheet.csv")])


# -- validate: sheets, parameters and files together ------------------------------------------------------------------


def _validate(tmp_path, files: dict[str, CellFile], sheet: str, **params):
    for name, cells in files.items():
        h5ad.write(tmp_path / name, cells)
    (tmp_path / "datasets.csv").write_text(sheet)
    (tmp_path / "models.csv").write_text("model,image\nscgpt,i\nharmony,i\n")
    given = {"models": [], "tasks": []} | params
    data = read_datasets(tmp_path / "datasets.csv", "datasets.csv")
    models = read_models(tmp_path / "models.csv", "models.csv")
    staged = {name: str(tmp_path / name) for name in files}
    cards, problems, warnings = validate(data, models, given, staged, TASKS)
    return cards, [str(problem) for problem in problems], warnings


HEAD = "dataset,path,batch_key,label_key,tasks,query\n"


def test_one_batch_or_one_class_is_refused_where_the_row_asks_and_noted_otherwise(tmp_path):
    cells = _cells()
    cells.obs["batch"][:] = "only"
    files = {"a.h5ad": cells}
    cards, problems, warnings = _validate(tmp_path, files, HEAD + "a,a.h5ad,batch,cell_type,,\n")
    assert problems == []
    assert cards[0]["n_batches"] == 1
    assert len(warnings) == 1
    assert "one batch only (only)" in warnings[0]
    assert "batch_integration is not applicable to a" in warnings[0]
    _, problems, _ = _validate(tmp_path, files, HEAD + "a,a.h5ad,batch,cell_type,batch_integration,\n")
    assert "datasets.csv, row 2, column batch_key: found one batch only (only); expected at least two" in problems[0]
    asked = HEAD + "a,a.h5ad,batch,cell_type,batch_integration;cell_type_annotation,\n"
    assert _validate(tmp_path, files, asked, tasks=["cell_type_annotation"])[1] == []  # that task is not run
    cells = _cells()
    cells.obs["cell_type"][:] = "T"
    _, problems, _ = _validate(tmp_path, {"a.h5ad": cells}, HEAD + "a,a.h5ad,batch,cell_type,cell_type_annotation,\n")
    assert "column label_key: found one class only (T); expected at least two cell types" in problems[0]
    _, problems, _ = _validate(tmp_path, files, HEAD + "a,a.h5ad,,cell_type,batch_integration,\n")
    assert "found no batch_key" in problems[0]


def test_unlabelled_cells_are_counted_in_a_note(tmp_path):
    cells = _cells()
    cells.obs["cell_type"][:3] = None
    cards, problems, warnings = _validate(tmp_path, {"a.h5ad": cells}, HEAD + "a,a.h5ad,batch,cell_type,,\n")
    assert problems == []
    assert cards[0]["n_types"] == 3
    assert "3 cells of a have no label" in warnings[0]


def test_unknown_models_and_tasks_are_told_with_the_nearest_and_with_everything_else(tmp_path):
    sheet = HEAD + "a,absent.h5ad,batch,cell_type,,\nb,b.h5ad,bach,cell_type,,\n"
    _, problems, _ = _validate(
        tmp_path, {"b.h5ad": _cells()}, sheet, models=["scgtp", "harmony"], tasks=["batch_integratoin"]
    )
    assert len(problems) == 4
    text = "\n".join(problems)
    assert "--models: found 'scgtp'; expected one of scgpt, harmony; did you mean 'scgpt'?" in text
    assert "--tasks: found 'batch_integratoin'" in text
    assert "did you mean 'batch_integration'?" in text
    assert "row 2, column path: found no file absent.h5ad" in text
    assert "row 3, column batch_key: found 'bach'" in text
    assert check_choice("tasks", [], TASKS) == []


@pytest.mark.parametrize(
    ("change", "columns", "found"),
    [
        (lambda q: q, "batch,,,", "'q' without labels"),
        (
            lambda q: setattr(q, "var_names", np.array([f"x{i}" for i in range(60)], object)),
            "batch,cell_type,,",
            "shares 0",
        ),
    ],
)
def test_a_query_that_cannot_be_scored_is_refused(tmp_path, change, columns, found):
    query = _cells()
    change(query)
    sheet = HEAD + f"a,a.h5ad,batch,cell_type,,q\nq,q.h5ad,{columns}\n"
    _, problems, _ = _validate(tmp_path, {"a.h5ad": _cells(), "q.h5ad": query}, sheet)
    assert "datasets.csv, row 2, column query" in _message(problems)
    assert found in problems[0]


def test_a_query_of_another_organism_or_matrix_is_refused(tmp_path):
    head = HEAD.replace("\n", ",organism\n")
    sheet = head + "a,a.h5ad,batch,cell_type,,q,human\nq,q.h5ad,batch,cell_type,,,mouse\n"
    files = {"a.h5ad": _cells(), "q.h5ad": _cells()}
    cards, problems, _ = _validate(tmp_path, files, sheet)  # joined by orthologue, here by the same symbols
    assert problems == []
    assert cards[0]["query_organism"] == "mouse"
    files["q.h5ad"].var_names = np.array([f"other{i}" for i in range(files["q.h5ad"].n_vars)], object)
    files["q.h5ad"].var = {}
    _, problems, _ = _validate(tmp_path, files, sheet)
    assert "'q' (mouse), which shares 0 genes by orthologue with 'a' (human)" in _message(problems)
    head = HEAD.replace("\n", ",matrix\n")
    sheet = head + "a,a.h5ad,batch,cell_type,,q,counts\nq,b.h5ad,batch,cell_type,,,binary\n"
    files["b.h5ad"] = _cells()
    files["b.h5ad"].X.data[:] = 1
    _, problems, _ = _validate(tmp_path, files, sheet)
    assert "'q' with matrix binary; expected counts, as in 'a'" in _message(problems)


def test_a_task_needs_batches_and_types():
    card = {"row": 3, "n_batches": 0, "n_types": 0, "cells_per_batch": {}, "cells_per_type": {}}
    assert len(task_problems(card, "batch_integration", "s")) == 2
    assert len(task_problems(card, "cell_type_annotation", "s")) == 1
    assert task_problems(card | {"n_batches": 2, "n_types": 2}, "batch_integration", "s") == []


def test_an_unreadable_sheet_gives_no_card(tmp_path):
    (tmp_path / "models.csv").write_text("model,image\nm,i\n")
    cards, problems, _ = validate(
        read_datasets(tmp_path / "absent.csv"),
        read_models(tmp_path / "models.csv"),
        {"models": [], "tasks": []},
        {},
        [],
    )
    assert cards == []
    assert "no such file" in str(problems[0])
    assert isinstance(read_datasets(tmp_path / "absent.csv"), Sheet)
