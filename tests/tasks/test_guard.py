"""What a model may hand back: put right and said where that is safe, refused with a reason where it is not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sceval.contract import CellFile, h5ad
from sceval.tasks import guard
from sceval.tasks.guard import BadOutput


@pytest.fixture
def view(make_view):
    return make_view(60, 40)


@pytest.fixture
def embed(tmp_path, view):
    """Write an output after a change and guard it; return what the guard returns."""

    def run(change=lambda cells: None, wanted=view):
        cells = CellFile(
            view.obs_names.copy(), obsm={"X_emb": np.random.default_rng(0).normal(size=(60, 5)).astype("f4")}
        )
        cells = change(cells) or cells
        h5ad.write(tmp_path / "output.h5ad", cells)
        return guard.embedding(tmp_path / "output.h5ad", wanted), cells

    return run


def _taken(cells: CellFile, rows) -> CellFile:
    return CellFile(cells.obs_names[rows], obsm={"X_emb": cells.obsm["X_emb"][rows]})


def test_a_good_embedding_passes_as_it_is(embed):
    (X, findings), cells = embed()
    assert findings == []
    assert X.dtype == np.float32
    assert np.array_equal(X, cells.obsm["X_emb"])


def test_another_order_is_restored_by_the_ids_and_said(embed, view):
    order = np.random.default_rng(1).permutation(60)
    (X, findings), cells = embed(lambda cells: _taken(cells, order))
    where = {name: row for row, name in enumerate(cells.obs_names)}
    assert np.array_equal(X, cells.obsm["X_emb"][[where[name] for name in view.obs_names]])
    assert findings == ["the output has the cells in another order; the order was restored by their ids"]


def test_cells_of_another_dataset_are_left_out_and_said(embed):
    def more(cells):
        names = np.concatenate([np.array(["x1", "x2"], object), cells.obs_names])
        return CellFile(names, obsm={"X_emb": np.vstack([np.full((2, 5), 9, "f4"), cells.obsm["X_emb"]])})

    (X, findings), _ = embed(more)
    assert len(X) == 60
    assert not (X == 9).any()
    assert findings == ["2 cells of the output are not in the view; left out"]


def test_rows_of_nan_are_scored_at_the_mean_and_counted(embed):
    def change(cells):
        cells.obsm["X_emb"][[3, 7, 9]] = np.nan

    (X, findings), cells = embed(change)
    others = np.delete(cells.obsm["X_emb"], [3, 7, 9], axis=0)
    np.testing.assert_allclose(X[[3, 7, 9]], np.tile(others.mean(axis=0), (3, 1)), rtol=1e-5)
    assert "3 cells have no embedding" in findings[0]


def _nan_half(cells):
    cells.obsm["X_emb"][:31] = np.nan


def _nan_part(cells):
    cells.obsm["X_emb"][5, 2] = np.nan


def _infinite(cells):
    cells.obsm["X_emb"][[8, 9], 1] = np.inf


def _constant(cells):
    cells.obsm["X_emb"][:] = 1.5


def _constant_but_for_nan(cells):
    cells.obsm["X_emb"][:] = 1.5
    cells.obsm["X_emb"][4] = np.nan


def _transposed(cells):
    names = np.array([f"ENSG{i:011d}" for i in range(40)], object)
    return CellFile(names, obsm={"X_emb": np.random.default_rng(0).normal(size=(40, 60)).astype("f4")})


def _double_precision(cells):
    cells.obsm["X_emb"] = cells.obsm["X_emb"].astype(np.float64)


def _no_dimension(cells):
    cells.obsm["X_emb"] = np.zeros((60, 0), "f4")


def _repeated(cells):
    cells.obs_names[5] = cells.obs_names[4]


def _text(cells):
    cells.obsm["X_emb"] = cells.obsm["X_emb"].astype(str)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda cells: _taken(cells, slice(2, None)),
            "2 of 60 cells are absent from the output, the first is 'cell0000",
        ),
        (_transposed, "transposed: its rows are genes"),
        (_nan_half, "31 of 60 cells have no embedding"),
        (_nan_part, "1 cells have values that are NaN or infinite, the first is 'cell0005"),
        (_infinite, "2 cells have values that are NaN or infinite, the first is 'cell0008"),
        (_constant, "constant"),
        (_constant_but_for_nan, "constant"),
        (_no_dimension, "no dimension"),
        (_double_precision, "float64"),
        (_repeated, "a second time in row 5"),
        (_text, "output: obsm/X_emb"),
        (lambda cells: CellFile(cells.obs_names), "output: obsm/X_emb: found nothing"),
        (lambda cells: CellFile(cells.obs_names, obsm={"X_emb": np.zeros((5, 60), "f4")}), "transposed?"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_an_embedding_that_cannot_be_scored_is_refused_with_a_reason(embed, change, reason):
    with pytest.raises(BadOutput, match=re.escape(reason)) as caught:
        embed(change)
    assert "/" not in str(caught.value).replace("obsm/", "")  # no path of this machine


def test_files_that_are_none_are_refused(tmp_path, view, embed):
    embed()
    whole = tmp_path / "output.h5ad"
    (tmp_path / "text.h5ad").write_text("garbage")
    (tmp_path / "short.h5ad").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "empty.h5ad").write_bytes(b"")
    for name in ("text.h5ad", "short.h5ad", "empty.h5ad"):
        with pytest.raises(BadOutput, match="output: found a file that cannot be read"):
            guard.embedding(tmp_path / name, view)


# -- annotation -------------------------------------------------------------------------------------------------------


@pytest.fixture
def label(tmp_path, view):
    test = view.obs_names[view.obs["part"] == "test"]

    def run(change=lambda cells: None):
        rng = np.random.default_rng(0)
        probability = rng.dirichlet(np.ones(3), len(test))
        classes = np.array(["type0", "type1", "type2"], object)
        cells = CellFile(test.copy(), obs={"prediction": classes[probability.argmax(axis=1)]})
        cells.obs["confidence"] = probability.max(axis=1)
        cells.obsm["probability"] = probability
        cells.uns["classes"] = classes
        cells = change(cells) or cells
        h5ad.write(tmp_path / "output.h5ad", cells)
        return guard.annotation(tmp_path / "output.h5ad", view, test), cells

    return run


def test_a_good_annotation_passes_and_is_put_into_the_wanted_order(label):
    (output, findings), cells = label()
    assert findings == []
    assert np.array_equal(output.obs["prediction"], cells.obs["prediction"])

    def turned(cells):
        cells.obs_names = cells.obs_names[::-1].copy()
        cells.obs = {key: values[::-1] for key, values in cells.obs.items()}
        cells.obsm = {key: values[::-1] for key, values in cells.obsm.items()}

    (again, _), _ = label(turned)
    assert np.array_equal(again.obs["prediction"], output.obs["prediction"])
    np.testing.assert_allclose(again.obsm["probability"], output.obsm["probability"])


def test_labels_for_all_cells_of_the_view_are_cut_to_the_wanted_ones(tmp_path, view):
    test = view.obs["part"] == "test"
    prediction = np.where(test, "type1", "type0").astype(object)
    h5ad.write(tmp_path / "output.h5ad", CellFile(view.obs_names, obs={"prediction": prediction}))
    output, findings = guard.annotation(tmp_path / "output.h5ad", view, view.obs_names[test])
    assert set(output.obs["prediction"]) == {"type1"}
    assert findings == ["no probabilities in the output: log-loss, Brier score and ECE are not computed"]


def test_labels_that_no_training_cell_has_are_said_and_abstentions_are_not(label):
    def change(cells):
        cells.obs["prediction"][:2] = ["martian", "unassigned"]

    (_, findings), _ = label(change)
    assert len(findings) == 1
    assert "martian" in findings[0]
    assert "unassigned" not in findings[0]


def test_probabilities_off_by_a_rounding_error_are_taken(label):
    def change(cells):
        cells.obsm["probability"][0] = [1 + 5e-7, -5e-7, 0.0]

    (output, findings), _ = label(change)
    assert output.obsm["probability"].min() == 0.0
    assert output.obsm["probability"].max() == 1.0
    assert findings == []


def _drop(cells):
    return CellFile(cells.obs_names[1:], obs={"prediction": cells.obs["prediction"][1:]})


def _sums(cells):
    cells.obsm["probability"][3] *= 0.5


def _negative(cells):
    cells.obsm["probability"][2] = [1.5, -0.5, 0.0]


def _nan(cells):
    cells.obsm["probability"][2] = np.nan


def _class_missing(cells):
    cells.uns["classes"] = cells.uns["classes"][:2]


def _no_classes(cells):
    del cells.uns["classes"]


def _class_twice(cells):
    cells.uns["classes"] = np.array(["type0", "type1", "type0"], object)


def _missing_prediction(cells):
    cells.obs["prediction"][1] = None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_drop, "cells are absent from the output"),
        (_sums, "sum to 1"),
        (_negative, "outside 0 to 1"),
        (_nan, "NaN"),
        (_class_missing, "3 columns and 2 names"),
        (_no_classes, "3 columns and 0 names"),
        (_class_twice, "uns/classes names 'type0' more than once"),
        (_missing_prediction, "1 missing values"),
    ],
)
def test_an_annotation_that_cannot_be_scored_is_refused_with_a_reason(label, change, reason):
    with pytest.raises(BadOutput, match=re.escape(reason)):
        label(change)
