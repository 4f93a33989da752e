"""Clusterings by three rules, through igraph.

``study``: Louvain, resolutions 0.1 to 2.0 in 20 steps, the one with the best NMI to the labels (the scEval study).
``scib``: Leiden (modularity, two iterations), resolutions 0.2 to 2.0 in 10 steps, chosen in the same way (scIB).
``fixed``: Leiden, resolution 1, ten seeds, no label used; scores are means over the ten.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sceval.metrics.agreement import contingency, nmi

RULES = {
    "study": ("louvain", tuple(round(0.1 * i, 1) for i in range(1, 21))),
    "scib": ("leiden", tuple(round(0.2 * i, 1) for i in range(1, 11))),
    "fixed": ("leiden", (1.0,) * 10),
}
#: Cells from which a second process is worth its start.
_PARALLEL_FROM = 4_000


@dataclass(frozen=True)
class Clusterings:
    """Memberships (clusterings x cells) with their resolutions, and which of them the rule takes."""

    rule: str
    resolutions: tuple[float, ...]
    memberships: np.ndarray
    chosen: tuple[int, ...]

    @property
    def note(self) -> str:
        """How the clustering was chosen, in words."""
        if self.rule == "fixed":
            return "clusters: Leiden, resolution 1, mean over 10 seeds, chosen without labels"
        at = self.chosen[0]
        count = int(self.memberships[at].max()) + 1
        method = "Louvain" if self.rule == "study" else "Leiden"
        return f"clusters: {method}, resolution {self.resolutions[at]} chosen by the labels ({count} clusters)"


def cluster_all(
    weights: sparse.csr_matrix, method: str, resolutions: tuple[float, ...], seeds: list[int]
) -> np.ndarray:
    """Cluster a graph once per resolution.

    Parameters
    ----------
    weights
        Symmetric connectivities, cells x cells.
    method
        ``louvain`` (igraph's multilevel) or ``leiden`` (modularity, two iterations).
    resolutions, seeds
        One per clustering.

    Returns
    -------
    memberships
        int32, clusterings x cells.
    """
    import igraph

    upper = sparse.triu(weights, k=1).tocoo()
    graph = igraph.Graph(n=weights.shape[0], edges=np.column_stack([upper.row, upper.col]), directed=False)
    strength = upper.data.astype(float).tolist()
    out = np.empty((len(resolutions), weights.shape[0]), dtype=np.int32)
    try:
        for row, (resolution, seed) in enumerate(zip(resolutions, seeds, strict=True)):
            igraph.set_random_number_generator(random.Random(seed))
            if method == "louvain":
                found = graph.community_multilevel(weights=strength, resolution=resolution)
            else:
                found = graph.community_leiden(
                    objective_function="modularity", weights=strength, resolution=resolution, n_iterations=2
                )
            out[row] = found.membership
    finally:
        igraph.set_random_number_generator(random)
    return out


class Sweep:
    """The clusterings of a rule. For larger data two more processes make them while the caller goes on.

    The processes start with the object and load their packages at once; ``feed`` gives them the graph, ``result``
    waits for them.
    """

    def __init__(self, rule: str, n_cells: int, seed: int = 0) -> None:
        if rule not in RULES:
            raise ValueError(f"unknown cluster rule {rule!r}; known: {', '.join(RULES)}")
        self.rule = rule
        self.method, self.resolutions = RULES[rule]
        self._seeds = [seed * 1000 + i for i in range(len(self.resolutions))]
        self._weights: sparse.csr_matrix | None = None
        self._children: list[tuple[slice, subprocess.Popen]] = []
        if n_cells >= _PARALLEL_FROM:
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
            for part in (slice(0, None, 2), slice(1, None, 2)):
                # Odd and even steps: the cost of a clustering changes slowly with the resolution.
                child = subprocess.Popen(
                    [sys.executable, "-m", "sceval.metrics.sweep"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                )  # fmt: skip
                self._children.append((part, child))

    def feed(self, weights: sparse.csr_matrix) -> None:
        """Give the graph (symmetric connectivities, cells x cells) to be clustered."""
        self._weights = weights
        upper = sparse.triu(weights, k=1).tocoo()
        for part, child in self._children:
            buffer = io.BytesIO()
            np.savez(
                buffer, row=upper.row, column=upper.col, data=upper.data, n=weights.shape[0], method=self.method,
                resolutions=self.resolutions[part], seeds=self._seeds[part],
            )  # fmt: skip
            # A process that has died closes its end; `result` then reports its exit status.
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(buffer.getvalue())
                child.stdin.close()

    def abandon(self) -> None:
        """End the processes, where the caller failed in between and nobody will ask for their results."""
        for _, child in self._children:
            child.kill()
            child.wait()
        self._children = []

    def result(self, labels: np.ndarray) -> Clusterings:
        """Wait for the clusterings and choose by the rule (``labels``: codes from 0, one per cell)."""
        n = self._weights.shape[0]
        if self._children:
            memberships = np.empty((len(self.resolutions), n), dtype=np.int32)
            for part, child in self._children:
                data = child.stdout.read()
                if child.wait() != 0:
                    raise RuntimeError(f"clustering in a second process ended with exit status {child.returncode}")
                memberships[part] = np.load(io.BytesIO(data), allow_pickle=False)
            self._children = []
        else:
            memberships = cluster_all(self._weights, self.method, self.resolutions, self._seeds)
        if self.rule == "fixed":
            chosen = tuple(range(len(memberships)))
        else:
            scores = [nmi(contingency(row, labels)) for row in memberships]
            chosen = (int(np.argmax(scores)),)
        return Clusterings(self.rule, self.resolutions, memberships, chosen)
