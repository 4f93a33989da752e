"""The cells and genes of a view in the form in which scvi-tools takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from sceval.data.hvg import highly_variable_genes
from sceval.models.request import NotApplicable, Request

if TYPE_CHECKING:
    import anndata

FEWEST_CELLS = 10
"""With fewer cells there is nothing to hold out and no batch statistics."""


@dataclass(frozen=True)
class Cells:
    """Counts of a view, sorted by cell id and gene id, so that the order in the file changes no number.

    Attributes
    ----------
    rows, genes
        Positions in the view. Cells without any count in these genes are not among the rows: scVI takes the logarithm
        of the total.
    empty
        Positions in the view of those cells.
    counts
        CSR, float32, one row for each of `rows`, one column for each of `genes`.
    ids
        Cell ids of `rows`.
    batch
        Batch of each of `rows`, or None where the view has none.
    """

    rows: np.ndarray
    genes: np.ndarray
    empty: np.ndarray
    counts: sparse.csr_matrix
    ids: np.ndarray
    batch: np.ndarray | None

    def anndata(self, labels: np.ndarray | None = None, keep: np.ndarray | None = None) -> anndata.AnnData:
        """Return the cells (all, or those at `keep`) with the columns `batch` and `labels` as far as there are any."""
        keep = np.arange(len(self.rows)) if keep is None else keep
        batch = None if self.batch is None else self.batch[keep]
        return to_anndata(self.counts[keep], self.ids[keep], batch, None if labels is None else labels[keep])

    def spread(self, values: np.ndarray, n: int, fill: float = np.nan) -> np.ndarray:
        """Put a row for each of `rows` back into the order of the view (n cells); cells left out get `fill`."""
        out = np.full((n, values.shape[1]), fill, np.float32)
        out[self.rows] = values
        return out


def to_anndata(
    counts: sparse.csr_matrix, ids: np.ndarray, batch: np.ndarray | None, labels: np.ndarray | None
) -> anndata.AnnData:
    """Return counts with the columns `batch` and `labels` as categories."""
    import anndata
    import pandas as pd

    columns = {"batch": batch, "labels": labels}
    obs = pd.DataFrame(
        {name: pd.Categorical(values.astype(str)) for name, values in columns.items() if values is not None},
        index=pd.Index(ids.astype(str)),
    )
    return anndata.AnnData(sparse.csr_matrix(counts, dtype=np.float32), obs=obs)


def gather(request: Request, n_hvg: int | None, fitted: np.ndarray | None = None) -> Cells:
    """Return the cells of a view with its variable genes.

    Parameters
    ----------
    n_hvg
        Number of variable genes, chosen batch by batch; all genes where None or no fewer than there are.
    fitted
        Mask (n,) of the cells that may choose genes; all by default.

    Raises
    ------
    NotApplicable
        If fewer than two genes vary or too few cells have counts.
    """
    view = request.view
    order = np.argsort(view.obs_names.astype(str), kind="stable")
    genes = np.argsort(view.var_names.astype(str), kind="stable")
    counts = sparse.csr_matrix(view.X)[order][:, genes]
    batch = view.obs["batch"][order].astype(str) if "batch" in view.obs else None
    if n_hvg is not None and n_hvg < view.n_vars:
        seen = np.ones(len(order), bool) if fitted is None else fitted[order]
        codes = None if batch is None else np.unique(batch[seen], return_inverse=True)[1]
        chosen = highly_variable_genes(counts[seen], n_hvg, codes)
        if len(chosen) < n_hvg:
            request.warn(f"{len(chosen)} genes vary at all and were used, of the {n_hvg} asked for")
        counts, genes = counts[:, chosen], genes[chosen]
    filled = np.asarray(counts.sum(axis=1)).ravel() > 0
    if filled.sum() < FEWEST_CELLS or len(genes) < 2:
        msg = (
            f"{int(filled.sum())} cells with counts in {len(genes)} genes; "
            f"at least {FEWEST_CELLS} cells and 2 genes are needed"
        )
        raise NotApplicable(msg)
    request.facts["genes_used"] = len(genes)
    return Cells(
        rows=order[filled],
        genes=genes,
        empty=np.sort(order[~filled]),
        counts=sparse.csr_matrix(counts[filled], dtype=np.float32),
        ids=view.obs_names[order[filled]],
        batch=None if batch is None else batch[filled],
    )


def need_batches(request: Request, name: str) -> None:
    """Refuse a view without two batches.

    Raises
    ------
    NotApplicable
        If there is no column `batch`, or one batch only.
    """
    if "batch" not in request.view.obs:
        msg = f"{name} corrects for batch and this view has no column `batch` in obs"
        raise NotApplicable(msg)
    names = np.unique(request.view.obs["batch"].astype(str))
    if len(names) < 2:
        msg = f"all cells are of one batch ({str(names[0])!r}), there is nothing to integrate"
        raise NotApplicable(msg)
