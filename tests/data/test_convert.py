"""Published forms of files, good and broken, become one AnnData file or a clear error."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite

from sceval.contract import CellFile, h5ad
from sceval.data.convert import ConversionError, Part, content_mark, convert, from_10x, from_csv

COUNTS = np.array([[1, 0, 3, 0], [0, 2, 0, 5], [4, 0, 0, 1]])  # 3 cells x 4 genes
BARCODES = [f"{base * 14}-1" for base in "ACG"]
GENES = [[f"ENSG0000000000{i}", f"GENE{i}"] for i in range(4)]


def tar(path: Path, counts: np.ndarray = COUNTS, *, packed: bool = False, genes=GENES, leave: str = "") -> Path:
    matrix = io.BytesIO()
    mmwrite(matrix, sparse.coo_matrix(counts.T))
    files = {"matrix.mtx": matrix.getvalue()}
    files["features.tsv" if packed else "genes.tsv"] = "".join("\t".join(line) + "\n" for line in genes).encode()
    files["barcodes.tsv"] = "".join(f"{name}\n" for name in BARCODES[: len(counts)]).encode()
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            if name == leave:
                continue
            content = gzip.compress(content) if packed else content
            member = tarfile.TarInfo(f"filtered_matrices_mex/hg19/{name}{'.gz' if packed else ''}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a_10x_archive(tmp_path: Path, packed: bool) -> None:
    cells = from_10x([Part(tar(tmp_path / "a.tar.gz", packed=packed))])
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS)
    assert list(cells.obs_names) == BARCODES
    assert list(cells.var["gene_symbol"]) == ["GENE0", "GENE1", "GENE2", "GENE3"]
    assert list(cells.var["ensembl_id"]) == list(cells.var_names)
    assert cells.obs == {}


def test_archives_of_several_samples(tmp_path: Path) -> None:
    first = Part(tar(tmp_path / "a.tar.gz"), "CD19+ B")
    second = Part(tar(tmp_path / "b.tar.gz", COUNTS[:2] * 2), "NK")
    cells = from_10x([first, second])
    np.testing.assert_array_equal(cells.X.toarray(), np.vstack([COUNTS, COUNTS[:2] * 2]))
    assert list(cells.obs["sample"]) == ["CD19+ B"] * 3 + ["NK"] * 2
    assert cells.obs_names[0] == f"{BARCODES[0]}-CD19_B"
    assert len(set(cells.obs_names)) == 5
    other = Part(tar(tmp_path / "c.tar.gz", genes=GENES[::-1]), "x")
    with pytest.raises(ConversionError, match="other genes than"):
        from_10x([first, other])


def test_proteins_of_an_archive_are_no_genes(tmp_path: Path) -> None:
    genes = [[*line, "Antibody Capture" if i == 2 else "Gene Expression"] for i, line in enumerate(GENES)]
    cells = from_10x([Part(tar(tmp_path / "a.tar.gz", genes=genes))])
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS[:, [0, 1, 3]])


def test_broken_archives(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"no barcodes; expected matrix\.mtx"):
        from_10x([Part(tar(tmp_path / "a.tar.gz", leave="barcodes.tsv"))])
    with pytest.raises(ConversionError, match="3 cells x 4 genes, 3 barcodes and 3 genes"):
        from_10x([Part(tar(tmp_path / "b.tar.gz", genes=GENES[:3]))])
    whole = tar(tmp_path / "c.tar.gz").read_bytes()
    (tmp_path / "c.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConversionError, match="cannot be read as an archive"):
        from_10x([Part(tmp_path / "c.tar.gz")])
    (tmp_path / "d.tar.gz").write_text("not an archive")
    with pytest.raises(ConversionError, match="cannot be read as an archive"):
        from_10x([Part(tmp_path / "d.tar.gz")])


def csv_text(rows: list[str], columns: list[str], counts: np.ndarray) -> str:
    lines = [",".join(["", *columns])]
    lines += [",".join([name, *map(str, values)]) for name, values in zip(rows, counts, strict=True)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("turned", [False, True])
def test_a_table_is_read_whichever_way_it_lies(tmp_path: Path, turned: bool) -> None:
    symbols = ["GENE0", "RP11-34P13.7", "HLA-A", "MT-CO1"]
    text = csv_text(symbols, BARCODES, COUNTS.T) if turned else csv_text(BARCODES, symbols, COUNTS)
    path = tmp_path / "counts.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    cells = from_csv([Part(path)])
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS)
    assert list(cells.obs_names) == BARCODES
    assert list(cells.var_names) == symbols


def test_barcodes_that_r_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(csv_text(["A", "B", "C", "D"], [name.replace("-", ".") for name in BARCODES], COUNTS.T))
    assert list(from_csv([Part(path)]).obs_names) == BARCODES


def test_tables_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(csv_text(["A", "B", "C"], ["g1", "g2", "g3", "g4"], COUNTS))
    with pytest.raises(ConversionError, match="0% of the rows and 0% of the columns look like barcodes"):
        from_csv([Part(path)])
    path.write_text(f",g1\n{BARCODES[0]},many\n")
    with pytest.raises(ConversionError, match="cannot be read as a table of counts"):
        from_csv([Part(path)])


def cells_file(path: Path) -> Path:
    h5ad.write(path, CellFile(np.array(BARCODES, object), np.array(list("abcd"), object), X=sparse.csr_matrix(COUNTS)))
    return path


@pytest.mark.parametrize("form", ["plain", "gz", "zip"])
def test_packed_anndata(tmp_path: Path, form: str) -> None:
    path = cells_file(tmp_path / "a.h5ad")
    if form == "gz":
        (tmp_path / "a.h5ad.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.h5ad.gz"
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.write(path, "norman/perturb_processed.h5ad")
            archive.writestr("norman/go.csv", "x")
        path = tmp_path / "a.zip"
    convert("h5ad", [Part(path)], tmp_path / "out.h5ad", content_mark(sparse.csr_matrix(COUNTS)))
    np.testing.assert_array_equal(h5ad.read(tmp_path / "out.h5ad").X.toarray(), COUNTS)


def test_what_is_not_anndata_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_text("<html>")
    with pytest.raises(ConversionError, match="holds no HDF5 file"):
        convert("h5ad", [Part(tmp_path / "a.h5ad")], tmp_path / "out.h5ad")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.csv", "x")
    with pytest.raises(ConversionError, match="0 AnnData files in the archive"):
        convert("h5ad", [Part(tmp_path / "a.zip")], tmp_path / "out.h5ad")
    with pytest.raises(ConversionError, match="conversion 'rds'; expected one of h5ad, 10x, csv"):
        convert("rds", [], tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()
    assert not list(tmp_path.glob(".*"))


def test_counts_are_known_by_their_margins(tmp_path: Path) -> None:
    X = sparse.csr_matrix(COUNTS)
    shuffled = X[[2, 0, 1]][:, [3, 1, 0, 2]]
    assert content_mark(shuffled) == content_mark(X)
    assert content_mark(X).startswith("3x4:16:")
    other = COUNTS.copy()
    other[0, 0], other[0, 1] = 0, 1
    assert content_mark(sparse.csr_matrix(other)) != content_mark(X)
    with pytest.raises(ConversionError, match=r"its counts are 3x4:16:.*; the catalogue says 3x4:17:"):
        convert("10x", [Part(tar(tmp_path / "a.tar.gz"))], tmp_path / "out.h5ad", "3x4:17:0123456789abcdef")
    assert not (tmp_path / "out.h5ad").exists()
