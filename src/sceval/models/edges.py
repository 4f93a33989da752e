"""What inferring a network needs whatever the method: who may be a source, which genes, and how scores become edges."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Network
from sceval.models.request import NotApplicable, Request

WITH_REGULATORS = 5
"""How many times more genes are scored where few of them may be a source."""


def sources_and_genes(request: Request, most_genes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of the possible sources, and of all genes that are scored.

    Sources are the regulators that the view names, else all genes that are scored. Of more than `most_genes` genes
    (with named regulators `WITH_REGULATORS` times as many) those that most cells express are scored, and all
    regulators; this is said.

    Raises
    ------
    NotApplicable
        If no regulator is a gene of the view, or fewer than two genes are expressed.
    """
    view = request.view
    named = (view.uns.get("network") or {}).get("regulators")
    cells = np.asarray(view.X.getnnz(axis=0)).ravel()
    is_source = np.ones(view.n_vars, bool)
    if named is not None:
        is_source = np.isin(view.var_names.astype(str), np.asarray(named, str))
    if not is_source.any() or (cells > 0).sum() < 2:
        msg = "no edge can be scored: no regulator is a gene of the view, or fewer than two genes are expressed"
        raise NotApplicable(msg)
    genes = np.arange(view.n_vars)
    if named is not None:
        most_genes *= WITH_REGULATORS  # a few rows of scores in place of a square
    if len(genes) > most_genes:
        first = is_source if named is not None else np.zeros(view.n_vars, bool)
        order = np.lexsort((view.var_names.astype(str), -cells, ~first))
        genes = np.sort(order[:most_genes])
        request.warn(f"{most_genes} of {view.n_vars} genes were scored, those that most cells express")
    return genes[is_source[genes]], genes


def network_of(request: Request, sources: np.ndarray, genes: np.ndarray, score: np.ndarray, most_edges: int) -> Network:
    """Return the edges of a matrix of scores, sources x genes, without self-loops; only the highest of too many."""
    score = np.where(sources[:, None] == genes[None, :], np.nan, score)
    row, column = np.nonzero(np.isfinite(score))
    values = score[row, column]
    if most_edges and len(values) > most_edges:
        request.warn(f"{most_edges} of {len(values)} scored edges are written, the highest ones")
        keep = np.sort(np.argpartition(-values, most_edges)[:most_edges])
        row, column, values = row[keep], column[keep], values[keep]
    names = request.view.var_names
    return Network(names[sources[row]], names[genes[column]], values)
