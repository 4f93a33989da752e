"""A CSR matrix that stays in its file, read a block of rows at a time, so that memory does not grow with the cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

BLOCK = 16_384
"""Rows that are read at a time where all are looked at."""


class CsrRows:
    """Rows of a CSR matrix in an AnnData file; only slicing, as `scipy.sparse.csr_matrix` does it.

    `matrix[rows]` gives those rows as a `csr_matrix` in memory, `matrix[:, columns]` the same rows with other columns,
    still in the file. The row pointers (8 bytes for each row) are kept in memory.

    Parameters
    ----------
    path, name
        File and the group in it.
    columns
        Columns to give, in this order; all where None.

    Raises
    ------
    ValueError
        The row pointers do not fit the stored values.
    """

    ndim = 2

    def __init__(self, path: Path | str, name: str, columns: np.ndarray | None = None) -> None:
        self.path, self.name, self.columns = Path(path), name, columns
        with h5py.File(self.path, "r") as handle:
            node = handle[name]
            n, g = (int(size) for size in node.attrs["shape"])
            self.indptr, self.dtype = node["indptr"][:], node["data"].dtype
            stored = min(node["data"].shape[0], node["indices"].shape[0])
        self._width = g
        self.shape = (n, g if columns is None else len(columns))
        fits = len(self.indptr) == n + 1 and self.indptr[0] == 0 and self.indptr[-1] <= stored
        if not fits or (np.diff(self.indptr) < 0).any():
            msg = f"{name}: row pointers that do not fit {n} rows and {stored} stored values"
            raise ValueError(msg)

    @property
    def nnz(self) -> int:
        """Number of stored values, before columns were chosen."""
        return int(self.indptr[-1])

    def __getitem__(self, key: Any) -> sparse.csr_matrix | CsrRows:
        """Return rows (in memory), or all rows with some columns (in the file)."""
        if isinstance(key, tuple):
            rows, columns = key
            every = np.arange(self._width) if self.columns is None else self.columns
            chosen = CsrRows(self.path, self.name, every[columns])
            return chosen if isinstance(rows, slice) and rows == slice(None) else chosen[rows]
        rows = np.arange(self.shape[0])[key]
        rows = np.atleast_1d(rows)
        if not rows.size:
            return sparse.csr_matrix((0, self.shape[1]), dtype=self.dtype)
        with h5py.File(self.path, "r") as handle:
            node = handle[self.name]
            ends = np.flatnonzero(np.diff(rows) != 1) + 1  # runs of neighbors are read at once
            parts = [self._run(node, run[0], run[-1] + 1) for run in np.split(rows, ends)]
        return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")

    def _run(self, node: h5py.Group, start: int, stop: int) -> sparse.csr_matrix:
        low, high = self.indptr[start], self.indptr[stop]
        data, indices = node["data"][low:high], node["indices"][low:high]
        out = sparse.csr_matrix((data, indices, self.indptr[start : stop + 1] - low), shape=(stop - start, self._width))
        return out if self.columns is None else out[:, self.columns]

    def blocks(self, size: int = 0) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Yield the first row and the rows of each block of `size` rows (0: `BLOCK`)."""
        size = size or BLOCK
        for start in range(0, self.shape[0], size):
            yield start, self[start : start + size]
