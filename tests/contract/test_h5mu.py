"""MuData files: side by side with mudata, and what common columns do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile, h5ad, h5mu


@pytest.fixture
def modalities() -> dict[str, CellFile]:
    X = sparse.csr_matrix(np.arange(6, dtype=np.float32).reshape(3, 2))
    rna = CellFile(np.array(["a", "b", "c"], object), np.array(["g1", "g2"], object), X=X)
    rna.obs["kind"] = np.array(["x", None, "y"], object)
    protein = CellFile(np.array(["b", "d"], object), np.array(["p1"], object), X=sparse.csr_matrix(np.ones((2, 1))))
    return {"rna": rna, "prot": protein}


def test_a_file_comes_back_and_is_told_from_h5ad(tmp_path, modalities):
    h5mu.write(tmp_path / "a.h5mu", modalities)
    h5ad.write(tmp_path / "a.h5ad", modalities["rna"])
    assert h5mu.is_h5mu(tmp_path / "a.h5mu")
    assert not h5mu.is_h5mu(tmp_path / "a.h5ad")
    found = h5mu.read(tmp_path / "a.h5mu")
    assert list(found) == ["rna", "prot"]
    assert list(found["rna"].obs["kind"]) == ["x", None, "y"]
    assert (found["rna"].X != modalities["rna"].X).nnz == 0
    assert list(found["prot"].obs_names) == ["b", "d"]


def test_mudata_reads_it_and_common_columns_reach_each_modality(tmp_path, modalities):
    mudata = pytest.importorskip("mudata")
    h5mu.write(tmp_path / "a.h5mu", modalities)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = mudata.read_h5mu(tmp_path / "a.h5mu")
        assert both["rna"].shape == (3, 2)
        both.obs["batch"] = [f"batch_{name}" for name in both.obs_names]
        both.write(tmp_path / "b.h5mu")
    found = h5mu.read(tmp_path / "b.h5mu")
    assert list(found["prot"].obs["batch"]) == ["batch_b", "batch_d"]
    assert list(found["rna"].obs) == ["kind", "batch"]
