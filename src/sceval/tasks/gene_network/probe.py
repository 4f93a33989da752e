"""A network from any gene embedding: the cosine of two genes' vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile, h5ad
from sceval.contract.results import Network
from sceval.tasks import guard
from sceval.tasks.gene_network.edges import regulators

PARTNERS = 100
"""Strongest partners of each gene that are written where the view names no regulators: all pairs would be too many."""

_BLOCK = 1000


def probe(view: CellFile, embedding: Path, seed: int) -> tuple[Network, dict, list[str]]:
    """Return edges from the regulators to all genes, scored by cosine, and what was found.

    One embedding stands for all cells, so groups of cells get one network. Genes without a vector have no edge.
    """
    del seed
    X, findings = guard.gene_embedding(embedding, view)
    known = _known(embedding, view)
    findings = [] if known.all() else [f"{int((~known).sum())} genes have no vector and no edge"]
    length = np.sqrt((X.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    unit = np.divide(X, length, out=np.zeros(X.shape), where=length > 0)
    genes = np.flatnonzero(known & (length.ravel() > 0))
    sources = np.intersect1d(regulators(view), genes)
    few = "network" not in view.uns
    rows, columns, scores = [], [], []
    for start in range(0, len(sources), _BLOCK):
        block = sources[start : start + _BLOCK]
        cosine = unit[block] @ unit[genes].T
        cosine[block[:, None] == genes[None, :]] = np.nan
        if few and len(genes) > PARTNERS:
            worst = np.argpartition(-np.nan_to_num(cosine, nan=-np.inf), PARTNERS, axis=1)[:, PARTNERS:]
            np.put_along_axis(cosine, worst, np.nan, axis=1)
        row, column = np.nonzero(np.isfinite(cosine))
        rows.append(block[row])
        columns.append(genes[column])
        scores.append(cosine[row, column])
    if not rows or not sum(map(len, rows)):
        msg = "no regulator of the view has a vector"
        raise guard.BadOutput(msg)
    if few and len(genes) > PARTNERS:
        findings.append(f"the {PARTNERS} strongest partners of each gene are written")
    names = view.var_names
    network = Network(names[np.concatenate(rows)], names[np.concatenate(columns)], np.concatenate(scores))
    return network, {"similarity": "cosine"}, findings


def _known(embedding: Path, view: CellFile) -> np.ndarray:
    output = h5ad.read(embedding)
    whole = {str(name) for name, row in zip(output.obs_names, output.X, strict=True) if not np.isnan(row).all()}
    return np.array([str(name) in whole for name in view.var_names], bool)
