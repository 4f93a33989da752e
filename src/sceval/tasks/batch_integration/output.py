"""What an integrated output holds: vectors, corrected expression, a graph; each is put into the order of the view."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.tasks import guard
from sceval.tasks.guard import BadOutput


@dataclass(frozen=True)
class Output:
    """Vectors (n x d), corrected expression (n x g) and graph (n x n CSR) in the order of the view; None if absent."""

    X: np.ndarray | None
    corrected: np.ndarray | None
    graph: sparse.csr_matrix | None


def read_output(path: Path, view: CellFile) -> tuple[Output, list[str]]:
    """Return what the output holds, and what was found.

    Raises
    ------
    BadOutput
        As `guard.embedding`; where it holds none of the three; where corrected expression is constant, or a graph has
        no edge or another number of cells.
    """
    output = guard.read_kind("cell_embedding", path)
    corrected, graph = output.layers.get("corrected"), output.obsp.get("connectivities")
    if "X_emb" in output.obsm:
        X, findings = guard.embedding_of(output, view)
    elif corrected is None and graph is None:
        msg = "output: obsm/X_emb: found nothing, and neither layers/corrected nor obsp/connectivities"
        raise BadOutput(msg)
    else:
        X, findings = None, []
    rows = guard.rows_of(output, view.obs_names, view.var_names)
    if corrected is not None:
        corrected = np.asarray(corrected)[rows]
        if min(corrected.shape) < 2 or np.ptp(corrected, axis=0).max() == 0:
            msg = "the corrected expression is constant: every cell has the same"
            raise BadOutput(msg)
    if graph is not None:
        graph = sparse.csr_matrix(graph)
        if graph.shape != (output.n_obs, output.n_obs):
            msg = f"a graph of {graph.shape[0]} x {graph.shape[1]}; expected {output.n_obs} cells x as many"
            raise BadOutput(msg)
        graph = graph[rows][:, rows]
        off = graph - sparse.diags(graph.diagonal())
        if not off.count_nonzero():
            msg = "the graph has no edge between two cells"
            raise BadOutput(msg)
    return Output(X, corrected, graph), findings
