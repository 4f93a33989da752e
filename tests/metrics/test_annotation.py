from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from sceval.metrics import rejection
from sceval.metrics.annotation import IDS, annotation_values
from sceval.metrics.registry import for_task


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    classes = ["a", "b", "c"]
    proba = rng.dirichlet([0.6] * 3, size=300)
    true = np.array(classes)[[rng.choice(3, p=0.7 * row + 0.1) for row in proba]]
    return true, np.array(classes)[proba.argmax(axis=1)], proba, classes


def test_against_scikit_learn(predictions):
    true, pred, proba, classes = predictions
    found = annotation_values(true, pred, proba, classes)
    assert tuple(found.values) == IDS
    assert (*IDS, *rejection.IDS) == tuple(m.id for m in for_task("cell_type_annotation"))
    assert found.values["accuracy"] == pytest.approx(sk.accuracy_score(true, pred))
    assert found.values["macro_f1"] == pytest.approx(sk.f1_score(true, pred, average="macro"))
    assert found.values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(true, pred))
    assert found.values["mcc"] == pytest.approx(sk.matthews_corrcoef(true, pred))
    assert found.values["log_loss"] == pytest.approx(sk.log_loss(true, proba, labels=classes))
    assert np.array_equal(found.confusion[:, :3], sk.confusion_matrix(true, pred))
    assert found.units["log_loss"].mean() == pytest.approx(found.values["log_loss"])


def test_weights_equal_copies(predictions):
    true, pred, proba, classes = predictions
    w = np.random.default_rng(1).integers(0, 3, 300)
    rows = np.repeat(np.arange(300), w)
    weighted = annotation_values(true, pred, proba, classes, weights=w).values
    copied = annotation_values(true[rows], pred[rows], proba[rows], classes).values
    for name in IDS:
        assert weighted[name] == pytest.approx(copied[name]), name


def test_unassigned_is_wrong_and_no_class():
    true, pred = ["a"] * 4 + ["b"] * 4, ["a", "a", "unassigned", "b", "b", "b", "b", "unassigned"]
    found = annotation_values(true, pred, min_cells=1)
    assert found.classes == ["a", "b"]
    assert found.values["accuracy"] == 5 / 8
    assert found.values["macro_recall"] == pytest.approx((2 / 4 + 3 / 4) / 2)
    assert found.values["macro_precision"] == pytest.approx((1 + 3 / 4) / 2)
    assert found.confusion.tolist() == [[2, 1, 1], [0, 3, 1]]
    assert np.isnan(found.values["log_loss"])
    assert "2 of 8 cells are unassigned: counted as wrong" in found.findings


def test_rare_types_are_listed_and_stay_out():
    true = ["a"] * 30 + ["b"] * 30 + ["rare"] * 5
    pred = ["a"] * 30 + ["b"] * 30 + ["a"] * 5
    found = annotation_values(true, pred)
    assert found.values["macro_recall"] == 1
    assert found.values["accuracy"] == 60 / 65
    assert found.values["macro_precision"] == pytest.approx((30 / 35 + 1) / 2)
    assert any("rare (5)" in line for line in found.findings)
    assert [row["in_macro"] for row in found.per_class] == [True, True, False]


def test_a_type_without_a_probability_column():
    found = annotation_values(["a", "b"], ["a", "a"], [[1.0], [1.0]], ["a"], min_cells=1)
    assert found.values["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps) / 2, rel=1e-6)
    assert any("no column for: b" in line for line in found.findings)


def test_by_hand():
    found = annotation_values(["a", "b"], ["a", "a"], [[0.8, 0.2], [0.6, 0.4]], ["a", "b"], min_cells=1).values
    assert found["brier"] == pytest.approx((0.04 + 0.04 + 0.36 + 0.36) / 2)
    assert found["ece"] == pytest.approx((0.2 + 0.6) / 2)
    assert found["mcc"] == 0


@pytest.mark.parametrize(
    ("proba", "message"),
    [([[0.5, 0.4], [0.5, 0.5]], "row 0"), ([[0.5, 0.5]], "shape"), ([[0.5, 0.5], [np.nan, 1]], "row 1")],
)
def test_bad_probabilities_are_refused(proba, message):
    with pytest.raises(ValueError, match=message):
        annotation_values(["a", "b"], ["a", "b"], proba, ["a", "b"])


def test_bad_labels_are_refused():
    with pytest.raises(ValueError, match="2 true and 1 predicted"):
        annotation_values(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="unassigned"):
        annotation_values(["unassigned"], ["unassigned"])
