"""Every finding of the checker: what it says, and where."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from helpers import make_view
from sceval import contract
from sceval.contract import CellFile, ContractError, h5ad


def _found(kind, cells):
    return [str(problem) for problem in contract.check_cells(kind, cells, "f.h5ad")]


def _embedding(X) -> CellFile:
    return CellFile(np.array([f"c{i}" for i in range(len(X))], object), obsm={"X_emb": X})


def _annotation(**change) -> CellFile:
    cells = CellFile(np.array(["a", "b"], object))
    cells.obs = {"prediction": np.array(["T", "unassigned"], object), "confidence": np.array([0.7, 0.6])}
    cells.obsm["probability"] = np.array([[0.3, 0.7], [0.4, 0.6]])
    cells.uns["classes"] = np.array(["B", "T"], object)
    for slot, value in change.items():
        if slot in ("prediction", "confidence"):
            cells.obs[slot] = value
        elif slot == "probability":
            cells.obsm[slot] = value
        else:
            cells.uns[slot] = value
    return cells


def test_good_files_have_no_problem():
    assert _found("view", make_view()) == []
    assert _found("view", make_view(task="batch_integration")) == []
    assert _found("annotation", _annotation()) == []
    assert _found("cell_embedding", _embedding(np.full((3, 2), np.nan, np.float32))) == []


def _with_data(change):
    view = make_view()
    view.X = change(view.X.astype(float))
    return view


def _set(row, column, value):
    def change(X):
        dense = X.toarray()
        dense[row, column] = value
        return sparse.csr_matrix(dense)

    return change


MATRIX = [
    (_set(7, 3, np.nan), "f.h5ad: X: found 1 values that are NaN or infinite, first at row 7, column 3"),
    (_set(7, 3, np.inf), "f.h5ad: X: found 1 values that are NaN or infinite, first at row 7, column 3"),
    (_set(2, 5, -4), "f.h5ad: X: found 1 negative values, first -4 at row 2, column 5; expected values of 0 and more"),
    (lambda X: X.log1p(), "a log-normalised matrix (fractional values, largest"),
    (lambda X: X * 33.3, "a normalised matrix (fractional values, largest"),
    (lambda X: sparse.csr_matrix(X.toarray() - X.toarray().mean(axis=0)), "negative values, first"),
]


@pytest.mark.parametrize(("change", "message"), MATRIX)
def test_bad_matrices_are_named_with_their_place(change, message):
    (found,) = _found("view", _with_data(change))
    assert message in found


def test_what_counts_says_of_a_scaled_matrix():
    scaled = make_view().X.toarray() - 0.5
    found, expected = contract.anndata_kind.CHECKS["counts"](scaled)
    assert "scaled matrix" in found
    assert "raw integer counts" in expected


def test_a_log_normalised_matrix_is_right_where_it_is_declared():
    view = _with_data(lambda X: X.log1p())
    view.uns["sceval"]["matrix"] = "lognorm"
    assert _found("view", view) == []


def test_a_dense_matrix_is_not_csr():
    view = make_view()
    view.X = view.X.toarray()
    assert _found("view", view) == ["f.h5ad: X: found ndarray; expected csr"]


def test_repeated_ids_are_named_with_their_row():
    view = make_view()
    view.obs_names[9] = view.obs_names[4]
    (found,) = _found("view", view)
    assert (
        f"obs: found id {view.obs_names[4]!r} a second time in row 9, 1 repeated in all; expected unique ids" in found
    )
    view = make_view()
    view.var_names[[5, 6]] = view.var_names[1]
    assert "a second time in row 5, 2 repeated in all" in _found("view", view)[0]


def test_absent_slots_are_named_with_what_they_hold():
    view = make_view()
    del view.var["gene_symbol"]
    del view.uns["sceval"]["organism"]
    view.X = None
    found = _found("view", view)
    assert "f.h5ad: X: found nothing; expected Raw counts" in found[0]
    assert "f.h5ad: var/gene_symbol: found nothing; expected Gene symbol; empty where unknown." in found
    assert "f.h5ad: uns/sceval/organism: found nothing; expected `human` or `mouse`." in found


def test_bad_words_and_missing_values():
    view = make_view()
    view.obs["part"][3] = "tset"
    assert _found("view", view) == ["f.h5ad: obs/part: found 'tset'; expected `train` or `validation` or `test`"]
    view = make_view()
    view.obs["batch"][[6, 8]] = None
    assert _found("view", view) == ["f.h5ad: obs/batch, row 6: found 2 missing values; expected a value in each row"]
    view = make_view()
    view.obs["batch"] = np.arange(view.n_obs)
    assert _found("view", view) == ["f.h5ad: obs/batch: found numbers of type int64; expected string"]


def test_another_major_version_is_refused_by_name():
    view = make_view()
    view.uns["sceval"]["schema"] = "2.0"
    assert _found("view", view) == ["f.h5ad: uns/sceval/schema: found version 2.0; expected version 1.0"]
    view.uns["sceval"]["schema"] = "1.9"
    assert _found("view", view) == []


def test_uns_that_is_no_dictionary_is_a_finding_and_no_crash():
    view = make_view()
    view.uns["sceval"] = "1.0"
    assert any("uns/sceval/schema: found nothing" in line for line in _found("view", view))


def test_embeddings_of_another_type_or_shape():
    assert _found("cell_embedding", _embedding(np.zeros((3, 2)))) == [
        "f.h5ad: obsm/X_emb: found numbers of type float64; expected dense float32"
    ]
    cells = _embedding(np.zeros((5, 2), np.float32))
    cells.obsm["X_emb"] = cells.obsm["X_emb"].T
    assert _found("cell_embedding", cells) == ["f.h5ad: obsm/X_emb: found 2 x 5 (transposed?); expected 5 rows"]
    view = make_view()
    view.X = view.X.T.tocsr()
    assert _found("view", view) == ["f.h5ad: X: found 40 x 60 (transposed?); expected 60 cells x 40 genes"]
    view = make_view()
    view.obs["batch"] = view.obs["batch"][:-1]
    assert _found("view", view) == ["f.h5ad: obs/batch: found 59; expected 60 rows"]


ANNOTATION = [
    ({"confidence": np.array([0.5, 1.2])}, "obs/confidence: found 1 values outside 0 to 1, first at row 1"),
    ({"confidence": np.array([np.nan, 1])}, "obs/confidence: found 1 values that are NaN or infinite, first at row 0"),
    ({"probability": np.array([[0.5, 0.5], [1.1, -0.1]])}, "2 values outside 0 to 1, first at row 1, column 0"),
    ({"probability": np.array([[0.5, 0.5], [0.5, 0.9]])}, "1 rows that do not sum to 1, first 1.4 at row 1"),
    ({"probability": np.array([[np.nan, 0.5], [0.5, 0.5]])}, "NaN or infinite, first at row 0, column 0"),
    (
        {"classes": np.array(["B", "T", "NK"], object)},
        "2 columns and 3 names in uns/classes; expected one name for each",
    ),
    ({"prediction": np.array([None, "T"], object)}, "obs/prediction, row 0: found 1 missing values"),
    ({"prediction": np.array([1, 2])}, "obs/prediction: found numbers of type int64; expected string"),
]


@pytest.mark.parametrize(("change", "message"), ANNOTATION)
def test_bad_annotations(change, message):
    (found,) = _found("annotation", _annotation(**change))
    assert message in found


def test_files_that_are_no_anndata(tmp_path):
    path = tmp_path / "f.h5ad"
    assert contract.check("view", path)[0].found == "no such file"
    path.write_text("not HDF5")
    assert "a file that cannot be read" in contract.check("view", path)[0].found
    with h5py.File(path, "w") as handle:
        handle["obs"] = np.zeros(2, [("index", "S3")])
    assert contract.check("view", path)[0].expected == "a file of anndata 0.8 or later"
    h5ad.write(path, make_view())
    with h5py.File(path, "a") as handle:
        del handle["X/indptr"]
    assert "a file that cannot be read" in contract.check("view", path)[0].found


def test_reading_a_bad_file_raises_with_every_problem(tmp_path):
    view = make_view()
    del view.var["gene_symbol"]
    view.obs["part"][3] = "tset"
    h5ad.write(tmp_path / "f.h5ad", view)
    with pytest.raises(ContractError) as caught:
        contract.read("view", tmp_path / "f.h5ad")
    assert len(caught.value.problems) == 2
    assert len(str(caught.value).splitlines()) == 2


def test_a_bad_file_is_not_written(tmp_path):
    with pytest.raises(ContractError, match="float64"):
        contract.write("cell_embedding", tmp_path / "f.h5ad", _embedding(np.zeros((3, 2))))
    assert list(tmp_path.iterdir()) == []


def test_a_view_made_with_anndata_is_accepted(tmp_path):
    view = make_view()
    theirs = anndata.AnnData(view.X, obs=dict(view.obs), var=dict(view.var), uns=view.uns)
    theirs.obs_names, theirs.var_names = view.obs_names.astype(str), view.var_names.astype(str)
    theirs.write_h5ad(tmp_path / "f.h5ad")
    assert contract.check("view", tmp_path / "f.h5ad") == []
    assert list(contract.read("view", tmp_path / "f.h5ad").obs["cell_type"]) == list(view.obs["cell_type"])
