"""What view and solution of every task have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from sceval.contract import SCHEMA_VERSION, CellFile
from sceval.data.preprocess import log_cp10k, pca

PRE_COMPONENTS = 50
"""Components of the unintegrated PCA that anchors and PCR start from."""


def header(data: CellFile, dataset: str, task: str, split: str) -> dict[str, Any]:
    """Return `uns` of a view or a solution."""
    return {
        "sceval": {"schema": SCHEMA_VERSION, "dataset": dataset, "task": task, "split": split, **data.uns["sceval"]}
    }


def view_of(data: CellFile, dataset: str, task: str, split: str) -> CellFile:
    """Return a view with counts and genes and, where there is one, the batch; no label."""
    view = CellFile(data.obs_names, data.var_names, X=data.X, var=dict(data.var))
    if "batch" in data.obs:
        view.obs["batch"] = data.obs["batch"]
    view.uns = header(data, dataset, task, split)
    return view


def solution_of(data: CellFile, dataset: str, task: str, split: str) -> CellFile:
    """Return a solution with everything known of the cells, and no counts."""
    solution = CellFile(data.obs_names, obs=dict(data.obs))
    solution.uns = header(data, dataset, task, split)
    return solution


def unintegrated(data: CellFile) -> np.ndarray:
    """Return the PCA of log CP10k of all genes, n x 50 (fewer for tiny data), float32; `lognorm` data as they are."""
    X = data.X if data.uns["sceval"]["matrix"] == "lognorm" else log_cp10k(data.X)
    return pca(X, PRE_COMPONENTS)[0].astype(np.float32)
