"""Checks that a slot can ask for by name in its schema; each returns None or (found, expected)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

Finding = tuple[str, str] | None


def _data(values: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    return values.data if sparse.issparse(values) else np.asarray(values)


def _place(values: np.ndarray | sparse.csr_matrix, bad: np.ndarray, first_row: int = 0) -> str:
    """Row (and column) of the first bad entry, counted from 0; `first_row` is that of the first row of `values`."""
    first = int(np.argmax(bad.ravel()))
    if sparse.issparse(values):
        row = int(np.searchsorted(values.indptr, first, side="right")) - 1
        return f"row {first_row + row}, column {int(values.indices[first])}"
    return ", ".join(
        f"{name} {index}" for name, index in zip(("row", "column"), np.unravel_index(first, bad.shape), strict=False)
    )


def finite(values: np.ndarray | sparse.csr_matrix, first_row: int = 0) -> Finding:
    """No NaN and no infinity."""
    data = _data(values)
    bad = ~np.isfinite(data)
    return (
        (
            f"{int(bad.sum())} values that are NaN or infinite, first at {_place(values, bad, first_row)}",
            "finite numbers",
        )
        if bad.any()
        else None
    )


def nonnegative(values: np.ndarray | sparse.csr_matrix, first_row: int = 0) -> Finding:
    """No negative number."""
    data = _data(values)
    bad = data < 0
    if not bad.any():
        return None
    return (
        f"{int(bad.sum())} negative values, first {data[bad].ravel()[0]:g} at {_place(values, bad, first_row)}",
        "values of 0 and more",
    )


def counts(values: np.ndarray | sparse.csr_matrix, first_row: int = 0) -> Finding:
    """Whole numbers; says what the matrix looks like instead."""
    data = _data(values)
    data = data[np.isfinite(data)]
    bad = data != np.round(data)
    if not bad.any():
        return None
    if (data < 0).any():
        kind = "a scaled matrix (negative and fractional values)"
    elif data.size and data.max() < 20:
        kind = f"a log-normalised matrix (fractional values, largest {data.max():.2f})"
    else:
        kind = f"a normalised matrix (fractional values, largest {data.max():.1f})"
    return kind, "raw integer counts (or declare the matrix as `lognorm` in the datasets sheet)"


def unit_interval(values: np.ndarray) -> Finding:
    """Numbers from 0 to 1, with room for rounding."""
    bad = (np.asarray(values) < -1e-6) | (np.asarray(values) > 1 + 1e-6)
    return (
        (
            f"{int(bad.sum())} values outside 0 to 1, first at {_place(np.asarray(values), bad)}",
            "probabilities between 0 and 1",
        )
        if bad.any()
        else None
    )


def row_sums(values: np.ndarray) -> Finding:
    """Rows that sum to 1, with room for rounding."""
    total = np.asarray(values, dtype=np.float64).sum(axis=1)
    bad = ~(np.abs(total - 1) <= 1e-3)
    return (
        (
            f"{int(bad.sum())} rows that do not sum to 1, first {total[bad][0]:.3g} at {_place(total, bad)}",
            "rows that sum to 1",
        )
        if bad.any()
        else None
    )


CHECKS: dict[str, Callable[..., Finding]] = {
    "finite": finite,
    "nonnegative": nonnegative,
    "counts": counts,
    "unit_interval": unit_interval,
    "row_sums": row_sums,
}
