"""The embedded cells with the strongest planted effect, as view and solution of each task."""

from __future__ import annotations

import pytest

from sceval import tasks
from sceval.contract import CellFile
from sceval.data import embedded


@pytest.fixture(scope="session")
def planted() -> CellFile:
    cells = embedded.load("pbmc68k_planted_1")
    cells.uns["sceval"] = {"organism": "human", "matrix": "counts"}
    return cells


@pytest.fixture(scope="session")
def integration(planted) -> tuple[CellFile, CellFile]:
    return tasks.get("batch_integration").prepare(planted, None, "d", "all", 0)


@pytest.fixture(scope="session")
def annotation(planted) -> tuple[CellFile, CellFile]:
    return tasks.get("cell_type_annotation").prepare(planted, None, "d", "intra", 0)
