"""Cells without any biology: the mean profile of all cells times a total, with Poisson noise."""

from __future__ import annotations

import numpy as np
from scipy import sparse

_BLOCK = 512
"""New cells made dense at a time."""


def poisson_cells(totals: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw counts with mean total x share.

    Parameters
    ----------
    totals
        Expected total of each new cell, n.
    share
        Share of each gene, g, sums to 1.
    """
    blocks = [
        sparse.csr_matrix(rng.poisson(np.outer(totals[low : low + _BLOCK], share)).astype(np.float32))
        for low in range(0, len(totals), _BLOCK)
    ]
    return sparse.vstack(blocks, format="csr") if blocks else sparse.csr_matrix((0, len(share)), dtype=np.float32)


def global_poisson(X: sparse.csr_matrix, n: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw n new cells from the mean of all cells and the totals of some of them: the floor of simulation.

    Parameters
    ----------
    X
        Counts of the training cells, CSR.
    n
        Wanted number.
    """
    totals = np.asarray(X.sum(axis=1), float).ravel()
    genes = np.asarray(X.sum(axis=0), float).ravel()
    share = genes / genes.sum() if genes.sum() else genes
    return poisson_cells(rng.choice(totals, n), share, rng)
