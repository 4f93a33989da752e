"""A row whose query dataset holds spots: what VALIDATE asks of it, and what the plan makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile, h5ad
from sceval.data.sheets import read_datasets, read_models
from sceval.data.validate import validate


@pytest.fixture
def sheet(tmp_path):
    """Return a function: whether spots have positions -> (cards, problems) of a reference and its spots."""

    def make(positions: bool, matrix: str = "counts"):
        rng = np.random.default_rng(0)
        genes = np.array([f"G{i}" for i in range(20)], object)
        for name, n in (("cells", 30), ("spots", 25)):
            X = sparse.csr_matrix(rng.poisson(3.0, (n, 20)).astype(np.float32))
            if matrix == "lognorm":
                X.data = np.log1p(X.data)
            data = CellFile(np.array([f"{name}{i}" for i in range(n)], object), genes, X=X)
            if name == "spots" and positions:
                data.obsm["spatial"] = rng.random((n, 2))
            h5ad.write(tmp_path / f"{name}.h5ad", data)
        lines = ["dataset,path,matrix,tasks,query", f"cells,cells.h5ad,{matrix},imputation,spots"]
        (tmp_path / "d.csv").write_text("\n".join([*lines, f"spots,spots.h5ad,{matrix},,"]) + "\n")
        (tmp_path / "m.csv").write_text("model,image\npca,x\n")
        files = {f"{name}.h5ad": str(tmp_path / f"{name}.h5ad") for name in ("cells", "spots")}
        datasets = read_datasets(tmp_path / "d.csv")
        params = {"models": [], "tasks": ["imputation"]}
        cards, problems, _ = validate(datasets, read_models(tmp_path / "m.csv"), params, files, ["imputation"])
        return {card["dataset"]: card for card in cards}, [str(problem) for problem in problems]

    return make


def test_spots_with_positions_need_no_labels_and_few_shared_genes(sheet):
    cards, problems = sheet(positions=True)
    assert problems == []
    assert cards["cells"]["query_is_spatial"]
    assert cards["spots"]["spatial"]


def test_spots_without_positions_are_refused_with_what_would_be_right(sheet):
    _, problems = sheet(positions=False)
    assert any("without positions in obsm['spatial']" in text and "n x 2" in text for text in problems)


def test_log_values_are_refused_for_imputation_with_what_would_be_right(sheet):
    _, problems = sheet(positions=True, matrix="lognorm")
    assert any("lognorm" in text and "raw counts" in text for text in problems)
