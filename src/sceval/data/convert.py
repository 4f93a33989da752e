"""Published files of cells into one AnnData file: 10x matrices, tables, packed AnnData."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, h5ad

BARCODE = re.compile(r"^[A-Za-z0-9_.]*?[ACGT]{10,}[-_.A-Za-z0-9]*$")
"""What a column or row name must look like to be a cell."""


class ConversionError(ValueError):
    """A file is not of the form that its catalogue says."""


@dataclass(frozen=True)
class Part:
    """A fetched file and the sample that its cells come from; an empty text where they are not named by file."""

    path: Path
    sample: str = ""


def content_mark(X: sparse.csr_matrix) -> str:
    """Return what identifies a count matrix whatever the order of its cells and genes: `cells x genes:total:digest`.

    The digest is of the sorted totals of the cells and of the genes, 16 hex digits.
    """
    rows, columns = (np.sort(np.asarray(X.sum(axis=axis, dtype=np.float64)).ravel()) for axis in (1, 0))
    digest = hashlib.sha256(np.round(rows, 3).tobytes() + np.round(columns, 3).tobytes()).hexdigest()[:16]
    return f"{X.shape[0]}x{X.shape[1]}:{rows.sum():.0f}:{digest}"


def _bytes(handle: IO[bytes], name: str) -> bytes:
    return gzip.decompress(handle.read()) if name.endswith(".gz") else handle.read()


def _matrix_of_tar(part: Part) -> tuple[sparse.csr_matrix, list[str], list[list[str]]]:
    """Return counts (cells x genes), barcodes, and the lines of the gene table of a tar archive by 10x Genomics."""
    from scipy.io import mmread

    found: dict[str, object] = {}
    stems = {"matrix.mtx": "matrix", "genes.tsv": "genes", "features.tsv": "genes", "barcodes.tsv": "barcodes"}
    try:
        with tarfile.open(part.path) as archive:
            for member in archive:  # read in place: nothing is unpacked under a name of the archive's choice
                name = member.name.rsplit("/", 1)[-1]
                key = stems.get(name.removesuffix(".gz"))
                if key is None or not member.isfile() or name.startswith("."):
                    continue
                if key in found:
                    msg = f"a second {name}, {member.name}; expected one matrix in the archive"
                    raise tarfile.TarError(msg)
                content = _bytes(archive.extractfile(member), name)
                if key == "matrix":
                    found[key] = mmread(io.BytesIO(content))
                else:
                    found[key] = [line.split("\t") for line in content.decode("utf-8").splitlines()]
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        msg = f"{part.path}: cannot be read as an archive of 10x Genomics ({error})"
        raise ConversionError(msg) from error
    absent = sorted(set(stems.values()) - set(found))
    if absent:
        msg = f"{part.path}: no {' and no '.join(absent)}; expected matrix.mtx, genes.tsv or features.tsv, barcodes.tsv"
        raise ConversionError(msg)
    X = sparse.csr_matrix(found["matrix"].T)
    barcodes = [line[0] for line in found["barcodes"]]
    genes = found["genes"]
    if X.shape != (len(barcodes), len(genes)):
        shape = f"{X.shape[0]} cells x {X.shape[1]} genes"
        msg = f"{part.path}: a matrix of {shape}, {len(barcodes)} barcodes and {len(genes)} genes"
        raise ConversionError(msg)
    kinds = [line[2] if len(line) > 2 else "Gene Expression" for line in genes]
    kept = np.flatnonzero([kind == "Gene Expression" for kind in kinds])  # proteins are no genes
    return X[:, kept].tocsr(), barcodes, [genes[i] for i in kept]


def from_10x(parts: list[Part]) -> CellFile:
    """Return the cells of one or several 10x archives that have the same genes; `obs['sample']` names the archive."""
    blocks, names, samples = [], [], []
    genes: list[list[str]] = []
    for part in parts:
        X, barcodes, lines = _matrix_of_tar(part)
        if genes and [line[0] for line in lines] != [line[0] for line in genes]:
            msg = f"{part.path}: other genes than {parts[0].path}"
            raise ConversionError(msg)
        genes = lines
        blocks.append(X)
        suffix = f"-{re.sub('[^A-Za-z0-9]+', '_', part.sample)}" if len(parts) > 1 else ""
        names += [barcode + suffix for barcode in barcodes]
        samples += [part.sample] * len(barcodes)
    ids = np.array([line[0] for line in genes], object)
    out = CellFile(np.array(names, object), ids, X=sparse.vstack(blocks).tocsr().astype(np.float32))
    out.var["gene_symbol"] = np.array([line[1] if len(line) > 1 else line[0] for line in genes], object)
    if all(str(name).startswith("ENS") for name in ids):
        out.var["ensembl_id"] = ids.copy()
    if any(samples):
        out.obs["sample"] = np.array(samples, object)
    return out


def from_csv(parts: list[Part]) -> CellFile:
    """Return the cells of a table of counts; which side the cells are is told by their barcodes.

    Raises
    ------
    ConversionError
        If both sides or neither look like barcodes, or a field is no number.
    """
    import pandas as pd

    if len(parts) != 1:
        msg = f"{len(parts)} tables; expected one"
        raise ConversionError(msg)
    path = parts[0].path
    blocks, rows = [], []
    try:
        for chunk in pd.read_csv(path, index_col=0, chunksize=500):
            blocks.append(sparse.csr_matrix(chunk.to_numpy(np.float32)))
            rows += [str(name) for name in chunk.index]
            columns = [str(name) for name in chunk.columns]
    except (ValueError, OSError, EOFError, pd.errors.ParserError) as error:
        msg = f"{path}: cannot be read as a table of counts ({error})"
        raise ConversionError(msg) from error
    X = sparse.vstack(blocks).tocsr()
    shares = [sum(bool(BARCODE.match(name)) for name in side) / max(len(side), 1) for side in (rows, columns)]
    if (shares[0] > 0.9) == (shares[1] > 0.9):
        msg = f"{path}: {shares[0]:.0%} of the rows and {shares[1]:.0%} of the columns look like barcodes; expected one"
        raise ConversionError(msg)
    if shares[1] > 0.9:
        X, rows, columns = X.T.tocsr(), columns, rows
    cells = [re.sub(r"\.(\d+)$", r"-\1", name) for name in rows]  # R writes a dot for a dash
    return CellFile(np.array(cells, object), np.array(columns, object), X=X)


def _unpacked(parts: list[Part], target: Path) -> None:
    """Write the one AnnData file that the one part is or holds."""
    if len(parts) != 1:
        msg = f"{len(parts)} files; expected one"
        raise ConversionError(msg)
    path = parts[0].path
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith(".h5ad")]
                if len(names) != 1:
                    msg = f"{path}: {len(names)} AnnData files in the archive; expected one"
                    raise ConversionError(msg)
                with archive.open(names[0]) as source, target.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
        else:
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rb") as source, target.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path}: cannot be unpacked ({error})"
        raise ConversionError(msg) from error
    with target.open("rb") as handle:
        if handle.read(8) != b"\x89HDF\r\n\x1a\n":
            msg = f"{path}: holds no HDF5 file; expected an AnnData file"
            raise ConversionError(msg)


READERS: dict[str, Callable[[list[Part]], CellFile]] = {"10x": from_10x, "csv": from_csv}

CONVERSIONS = ("h5ad", *READERS)
"""`h5ad`: an AnnData file, perhaps in .gz or .zip; `10x`: tar archives of 10x Genomics; `csv`: a table of counts."""


def convert(kind: str, parts: list[Part], target: Path, content: str = "") -> None:
    """Write the AnnData file of a dataset; it appears whole or not at all.

    Parameters
    ----------
    kind
        One of `CONVERSIONS`.
    parts
        The fetched files.
    target
        File to write.
    content
        What `content_mark` must give for its matrix; not checked where empty.

    Raises
    ------
    ConversionError
        If a file is not of its form, or the counts are others than the catalogue says.
    """
    if kind not in CONVERSIONS:
        msg = f"conversion {kind!r}; expected one of {', '.join(CONVERSIONS)}"
        raise ConversionError(msg)
    work = target.with_name(f".{target.name}.part")
    try:
        if kind == "h5ad":
            _unpacked(parts, work)
            X = h5ad.read(work).X if content else None
        else:
            data = READERS[kind](parts)
            X = data.X
            h5ad.write(work, data)
        if content and (found := content_mark(sparse.csr_matrix(X))) != content:
            msg = f"{target.name}: its counts are {found}; the catalogue says {content}"
            raise ConversionError(msg)
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)
