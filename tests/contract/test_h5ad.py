"""The light reader and writer beside the package `anndata`, in both directions."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sceval.contract import CellFile, h5ad


def _cells() -> CellFile:
    rng = np.random.default_rng(0)
    cells = CellFile(
        np.array(["c1", "c2", "ç3"], object),
        np.array(["g1", "g2"], object),
        X=sparse.csr_matrix(np.array([[1, 0], [0, 3], [0, 0]], np.float32)),
    )
    cells.obs["batch"] = np.array(["b2", "b1", "b2"], object)
    cells.obs["cell_type"] = np.array(["T", None, "B"], object)
    cells.obs["nothing"] = np.array([None, None, None], object)
    cells.obs["depth"] = np.array([1.5, 2.5, np.nan])
    cells.obs["n"] = np.array([1, 2, 3])
    cells.obs["keep"] = np.array([True, False, True])
    cells.var["gene_symbol"] = np.array(["", "CD3E"], object)
    cells.layers["raw"] = cells.X * 2
    cells.obsm["X_emb"] = rng.normal(size=(3, 4)).astype(np.float32)
    cells.obsm["sparse"] = sparse.csr_matrix(np.eye(3))
    cells.obsp["distances"] = sparse.csr_matrix(np.ones((3, 3)))
    cells.uns = {"sceval": {"schema": "1.0", "n": 3, "x": 0.5, "flag": True, "deep": {"a": "ä"}}}
    cells.uns["classes"] = np.array(["B", "T"], object)
    return cells


def test_anndata_reads_what_we_write(tmp_path):
    cells = _cells()
    h5ad.write(tmp_path / "ours.h5ad", cells)
    theirs = anndata.read_h5ad(tmp_path / "ours.h5ad")
    assert list(theirs.obs_names) == ["c1", "c2", "ç3"]
    assert list(theirs.obs) == list(cells.obs)
    assert theirs.obs["batch"].dtype == "category"
    assert theirs.obs["batch"].tolist() == ["b2", "b1", "b2"]
    assert theirs.obs["cell_type"].isna().tolist() == [False, True, False]
    assert theirs.obs["nothing"].isna().all()
    np.testing.assert_array_equal(theirs.obs["depth"], cells.obs["depth"])
    assert theirs.obs["keep"].dtype == bool
    assert theirs.var["gene_symbol"].tolist() == ["", "CD3E"]
    assert isinstance(theirs.X, sparse.csr_matrix)
    np.testing.assert_array_equal(theirs.X.toarray(), cells.X.toarray())
    np.testing.assert_array_equal(theirs.layers["raw"].toarray(), cells.layers["raw"].toarray())
    np.testing.assert_array_equal(theirs.obsm["X_emb"], cells.obsm["X_emb"])
    np.testing.assert_array_equal(theirs.obsp["distances"].toarray(), np.ones((3, 3)))
    assert theirs.uns["sceval"]["deep"]["a"] == "ä"
    assert theirs.uns["sceval"]["n"] == 3
    assert list(theirs.uns["classes"]) == ["B", "T"]


def test_what_we_write_comes_back_the_same(tmp_path):
    cells = _cells()
    h5ad.write(tmp_path / "ours.h5ad", cells)
    back = h5ad.read(tmp_path / "ours.h5ad")
    assert list(back.obs_names) == list(cells.obs_names)
    for name, values in cells.obs.items():
        np.testing.assert_array_equal(back.obs[name], values)
    np.testing.assert_array_equal(back.obsm["X_emb"], cells.obsm["X_emb"])
    assert back.obsm["X_emb"].dtype == np.float32
    assert back.uns["sceval"] == cells.uns["sceval"]


def _theirs() -> anndata.AnnData:
    obs = pd.DataFrame(
        {
            "categorical": pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"]),
            "ordered": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
            "of_numbers": pd.Categorical([10, 20, 10]),
            "nullable_int": pd.array([1, None, 3], dtype="Int64"),
            "nullable_bool": pd.array([True, None, False], dtype="boolean"),
            "plain_text": ["x", "y", "z"],
            "real": [0.5, np.nan, 2.0],
        },
        index=["c1", "c2", "c3"],
    )
    var = pd.DataFrame({"gene_symbol": ["A", "B"]}, index=pd.Index(["g1", "g2"], name="gene"))
    out = anndata.AnnData(sparse.csc_matrix(np.array([[1.0, 0], [0, 3], [2, 0]])), obs=obs, var=var)
    out.obsm["sparse"] = sparse.csr_matrix(np.eye(3))
    out.obsm["frame"] = pd.DataFrame({"u": [1.0, 2, 3], "v": ["p", "q", "r"]}, index=obs.index)
    out.obsm["X_emb"] = np.arange(6.0).reshape(3, 2)
    out.obsp["connectivities"] = sparse.csr_matrix(np.ones((3, 3)))
    out.uns = {"a": {"b": "text", "n": 3}, "array": np.arange(3), "text": np.array(["x", "yy"]), "none": {}}
    return out


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_we_read_what_anndata_writes(tmp_path, compression):
    theirs = _theirs()
    theirs.write_h5ad(tmp_path / "theirs.h5ad", compression=compression)
    assert h5ad.is_encoded(tmp_path / "theirs.h5ad")
    ours = h5ad.read(tmp_path / "theirs.h5ad")
    assert list(ours.obs_names) == ["c1", "c2", "c3"]
    assert list(ours.var_names) == ["g1", "g2"]
    assert ours.obs["categorical"].tolist() == ["b", None, "a"]
    assert ours.obs["ordered"].tolist() == ["lo", "hi", "lo"]
    assert ours.obs["of_numbers"].tolist() == [10, 20, 10]
    assert ours.obs["nullable_int"].tolist() == [1, None, 3]
    assert ours.obs["nullable_bool"].tolist() == [True, None, False]
    assert ours.obs["plain_text"].tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(ours.obs["real"], [0.5, np.nan, 2.0])
    assert isinstance(ours.X, sparse.csr_matrix)  # was CSC
    np.testing.assert_array_equal(ours.X.toarray(), theirs.X.toarray())
    np.testing.assert_array_equal(ours.obsm["sparse"].toarray(), np.eye(3))
    np.testing.assert_array_equal(ours.obsm["X_emb"], theirs.obsm["X_emb"])
    assert ours.obsm["frame"]["v"].tolist() == ["p", "q", "r"]
    np.testing.assert_array_equal(ours.obsp["connectivities"].toarray(), np.ones((3, 3)))
    assert ours.uns["a"] == {"b": "text", "n": 3}
    assert ours.uns["text"].tolist() == ["x", "yy"]


def test_nullable_text_of_anndata_0_12_has_none_for_missing(tmp_path):
    theirs = anndata.AnnData(obs=pd.DataFrame({"t": pd.array(["x", None], dtype="string")}, index=["a", "b"]))
    with anndata.settings.override(allow_write_nullable_strings=True):
        theirs.write_h5ad(tmp_path / "t.h5ad")
    assert h5ad.read(tmp_path / "t.h5ad").obs["t"].tolist() == ["x", None]


def test_a_file_without_a_matrix_has_none(tmp_path):
    anndata.AnnData(obs=pd.DataFrame(index=["a", "b"])).write_h5ad(tmp_path / "empty.h5ad")
    assert h5ad.read(tmp_path / "empty.h5ad").X is None


def test_only_the_wanted_slots_are_read(tmp_path):
    h5ad.write(tmp_path / "f.h5ad", _cells())
    part = h5ad.read(tmp_path / "f.h5ad", ["obsm/X_emb", "uns"])
    assert part.X is None
    assert list(part.obsm) == ["X_emb"]
    assert part.uns["sceval"]["schema"] == "1.0"
    assert not part.layers
    with pytest.raises(KeyError):
        h5ad.read(tmp_path / "f.h5ad", ["obsm/absent"])


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        h5ad.write(tmp_path / f"{name}.h5ad", _cells())
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


def test_a_failed_write_leaves_nothing_and_spares_the_old_file(tmp_path):
    path = tmp_path / "f.h5ad"
    broken = _cells()
    broken.uns["bad"] = {"a set": {1, 2}}  # written last, when the rest of the file is there already
    with pytest.raises((TypeError, ValueError)):
        h5ad.write(path, broken)
    assert list(tmp_path.iterdir()) == []
    h5ad.write(path, _cells())
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        h5ad.write(path, broken)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["f.h5ad"]


def test_a_file_of_before_anndata_0_8_is_told_apart(tmp_path):
    with h5py.File(tmp_path / "old.h5ad", "w") as handle:
        handle["obs"] = np.zeros(2, [("index", "S3")])
    assert not h5ad.is_encoded(tmp_path / "old.h5ad")
