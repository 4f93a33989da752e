"""Fixtures of the pipeline tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import Pipeline, write_dataset, write_sheet


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "cells.h5ad")
    # Two tasks are enough to see the graph at work; all eight are for the demo.
    row = {"dataset": "mine", "path": "cells.h5ad", "batch_key": "sample", "label_key": "label"}
    row["tasks"] = "batch_integration;cell_type_annotation"
    return write_sheet(tmp_path / "datasets.csv", [row])
