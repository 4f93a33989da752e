"""Categories to codes. A missing label is code -1 and never becomes a class of its own."""

from __future__ import annotations

import numpy as np


def encode(values) -> tuple[np.ndarray, list[str]]:
    """Number the categories of a column.

    Parameters
    ----------
    values
        One entry per cell: text, numbers or categories; None, NaN and pandas' NA are missing.

    Returns
    -------
    codes, names
        int64 codes in the sorted order of the names, -1 for missing; the names as text.
    """
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        names, codes = np.unique(array, return_inverse=True)
        return codes.astype(np.int64), [str(name) for name in names]
    listed = array.tolist()
    missing = np.fromiter((_is_missing(v) for v in listed), dtype=bool, count=len(listed))
    text = np.array([str(v) for v, gone in zip(listed, missing, strict=True) if not gone], dtype=str)
    codes = np.full(len(listed), -1, dtype=np.int64)
    if not len(text):
        return codes, []
    names, inverse = np.unique(text, return_inverse=True)
    codes[~missing] = inverse
    return codes, [str(name) for name in names]


def _is_missing(value) -> bool:
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )
