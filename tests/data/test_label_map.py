"""Labels brought to the names of another dataset: renamed, kept, dropped, refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sceval.contract import CellFile
from sceval.data.label_map import apply_label_map

LABELS = ["CD19+ B", "NK", "CD34+", None]


def _apply(tmp_path, text: str | None, labels=LABELS):
    path = tmp_path / "map.tsv"
    if text is not None:
        path.write_text(text)
    data = CellFile(np.array([f"c{i}" for i in range(4)], object))
    if labels is not None:
        data.obs["cell_type"] = np.array(labels, object)
    problems = apply_label_map({"label_map": "map.tsv"}, data, {"label_map": path}, "datasets.csv, row 2")
    return data, [str(problem) for problem in problems]


def test_labels_are_renamed_kept_or_dropped(tmp_path):
    data, problems = _apply(tmp_path, "from\tto\nCD19+ B\tB\nCD34+\t\n")
    assert problems == []
    assert data.obs["cell_type"].tolist() == ["B", "NK", None, None]


@pytest.mark.parametrize(
    ("text", "labels", "found"),
    [
        (None, LABELS, "no such file"),
        ("old,new\na,b\n", LABELS, "a tab-separated header with from, to is needed"),
        ("from\tto\n", LABELS, "no row below the header"),
        ("from\tto\nNK\ta\nNK\tb\n", LABELS, "label 'NK' twice"),
        ("from\tto\nT\tx\n", LABELS, "names none of the labels of the dataset (CD19+ B, CD34+, NK)"),
        ("from\tto\nNK\tx\n", None, "a map of labels in a row without label_key"),
    ],
)
def test_a_map_that_cannot_be_used_is_refused_with_its_place(tmp_path, text, labels, found):
    _, problems = _apply(tmp_path, text, labels)
    assert len(problems) == 1
    assert re.search(re.escape(found), problems[0])
    assert problems[0].startswith("datasets.csv, row 2, column label_map: found")


def test_a_row_without_a_map_changes_nothing():
    data = CellFile(np.array(["c"], object), obs={"cell_type": np.array(["a"], object)})
    assert apply_label_map({"label_map": ""}, data, {}, "p") == []
    assert data.obs["cell_type"].tolist() == ["a"]
