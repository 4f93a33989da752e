from __future__ import annotations

import numpy as np
import pytest
from metric_parity import PARITY

from sceval.metrics.annotation import annotation_values

KEYS = {
    "accuracy": "accuracy", "macro_precision": "precision_macro_true_labels",
    "macro_recall": "recall_macro_true_labels", "macro_f1": "f1_macro_true_labels",
    "balanced_accuracy": "balanced_accuracy", "mcc": "matthews_corrcoef",
    "log_loss": "log_loss", "brier": "brier_multiclass", "ece": "ece_15_equal_width",
}  # fmt: skip


@pytest.mark.parametrize("case", ["plain", "rare_and_missing", "overconfident"])
def test_classification(parity, case):
    with np.load(PARITY / "classification.npz") as data:
        true, pred, proba = (data[f"{case}__{key}"] for key in ("y_true", "y_pred", "proba"))
    expected = parity["classification"][case]
    names = [f"c{i:02d}" for i in range(proba.shape[1])]
    found = annotation_values([names[i] for i in true], [names[i] for i in pred], proba, names, min_cells=1)
    for mine, theirs in KEYS.items():
        assert found.values[mine] == pytest.approx(expected[theirs], abs=1e-9), mine
    assert [row["f1"] for row in found.per_class] == pytest.approx(expected["f1_per_class_all_labels"], abs=1e-9)
