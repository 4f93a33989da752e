"""What models that impute share: which cells are asked for, and what stands where a model has nothing to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sceval.models.request import Request

if TYPE_CHECKING:
    from scipy import sparse


def asked_rows(request: Request) -> np.ndarray:
    """Positions of the cells whose values are asked for: part `test`, else the spots of a spatial view, else all."""
    view = request.view
    if "part" in view.obs:
        return np.flatnonzero(request.part("test"))
    spatial = view.obs["modality"].astype(str) == "spatial" if "modality" in view.obs else np.zeros(view.n_obs, bool)
    return np.flatnonzero(spatial) if spatial.any() else np.arange(view.n_obs)


def rates(counts: sparse.csr_matrix, rows: np.ndarray) -> np.ndarray:
    """Share of each gene in all counts x total of each cell: expected counts of someone who knows nothing else.

    Parameters
    ----------
    counts
        n x g CSR of all cells of the view.
    rows
        Cells that are asked for (m).

    Returns
    -------
    m x g, float32.
    """
    share = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    totals = np.asarray(counts[rows].sum(axis=1), dtype=np.float64).ravel()
    return (totals[:, None] * (share / max(share.sum(), 1.0))).astype(np.float32)
