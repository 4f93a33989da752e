from __future__ import annotations

from pathlib import Path

import pytest
from make_results import make

from sceval.report import build


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder that tests may read but not change."""
    return make(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def page(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that folder."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    build(results, out)
    return out
