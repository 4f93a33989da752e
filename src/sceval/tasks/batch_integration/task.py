"""Batch integration: its positive control, and how vectors, graphs and corrected expression are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.contract.results import Embedding
from sceval.data.preprocess import pca
from sceval.metrics.coding import encode
from sceval.metrics.graph_output import STANDARD, as_graph, graph_values
from sceval.metrics.integration import IDS, IntegrationScorer
from sceval.metrics.layout import umap_layout
from sceval.metrics.pcr import batch_r2, pcr_comparison
from sceval.metrics.resampling import Plan, replicate_table, replicates
from sceval.metrics.space import Space
from sceval.metrics.structure import StructureScorer
from sceval.tasks.base import Scored, Task
from sceval.tasks.batch_integration.output import Output, read_output
from sceval.tasks.batch_integration.prepare import ID, prepare
from sceval.tasks.views import PRE_COMPONENTS

ORACLE_NOISE = 0.1
"""Standard deviation of the oracle's noise, in units of the distance of a label from the origin."""

PERMUTATIONS = 20
"""Times that batches are permuted inside each type for the anchor "no batch left"."""


def oracle(view: CellFile, solution: CellFile, seed: int) -> Embedding:
    """Embed each cell at its label with Gaussian noise, blind to batch; cells without a label at the origin."""
    del view
    labels = solution.obs["cell_type"]
    names = sorted({label for label in labels if label is not None})
    X = np.random.default_rng(seed).normal(0, ORACLE_NOISE, (len(labels), len(names)))
    for column, name in enumerate(names):
        X[labels == name, column] += 1.0
    return Embedding(X)


def _scored_rows(solution: CellFile) -> np.ndarray:
    """Return the cells that are scored: all, or those whose label the view hid where it showed some."""
    if "part" not in solution.obs:
        return np.arange(solution.n_obs)
    return np.flatnonzero(solution.obs["part"] == "test")


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out batches where there are at least five, else fifths of the cells."""
    del view
    rows = _scored_rows(solution)
    return replicates(len(rows), groups=solution.obs["batch"][rows].astype(str))


def _scorer(X: np.ndarray, solution: CellFile, rows: np.ndarray) -> IntegrationScorer:
    obs = solution.obs
    return IntegrationScorer(X[rows], obs["batch"][rows], obs["cell_type"][rows], pre=solution.obsm["X_pre"][rows])


class _Both:
    """The scIB metrics and those of structure, as one scorer."""

    def __init__(self, X: np.ndarray, solution: CellFile, rows: np.ndarray) -> None:
        self.scib = _scorer(X, solution, rows)
        own, raw = (solution.obsm.get(name) for name in ("X_own", "raw_neighbors"))
        self.structure = None
        # Raw neighbours are rows of the whole dataset, so that structure is that of all cells.
        if own is not None and raw is not None:
            whole = self.scib if len(rows) == solution.n_obs else _scorer(X, solution, np.arange(solution.n_obs))
            self.structure = StructureScorer(whole, own, raw, rows)

    def values(self) -> dict[str, float]:
        """Return all values."""
        return self.scib.values() | (self.structure.values() if self.structure else {})

    def replicate(self, keep: np.ndarray) -> dict[str, float]:
        """Return all values on the scored cells that are kept."""
        return self.scib.replicate(keep) | (self.structure.replicate(keep) if self.structure else {})

    def units(self) -> dict[str, np.ndarray]:
        """Return the values of each scored cell."""
        return self.scib.units() | (self.structure.units() if self.structure else {})

    @property
    def findings(self) -> list[str]:
        """Return what was left out or undefined."""
        return self.scib.findings + (self.structure.findings if self.structure else [])


def _of_corrected(corrected: np.ndarray) -> np.ndarray:
    return pca(sparse.csr_matrix(corrected), PRE_COMPONENTS)[0].astype(np.float32)


def _of_graph(output: Output, solution: CellFile, rows: np.ndarray) -> dict[str, float]:
    batches = encode(solution.obs["batch"][rows])[0]
    labels = encode(solution.obs["cell_type"][rows])[0]
    return graph_values(as_graph(output.graph[rows][:, rows]), batches, labels)


def _beside(output: Output, X: np.ndarray, solution: CellFile, rows: np.ndarray) -> dict[str, float]:
    """Return the values of what an output holds beside its vectors: corrected expression, a graph."""
    values: dict[str, float] = {}
    if output.corrected is not None:
        components = X if output.X is None else _of_corrected(output.corrected)
        found = _scorer(components, solution, rows).values()
        values |= {f"corrected_{name}": found[name] for name in ("s_bio", "s_batch", "s_final")}
    if output.graph is not None:
        values |= _of_graph(output, solution, rows)
    return values


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score vectors of cells, corrected expression by its principal components, a graph by the metrics of graphs.

    What is there of the three is scored. The metrics of embeddings are those of the vectors; without vectors, those
    of the corrected expression's 50 components (scIB's "full" output); without either, the five that a graph has.
    """
    output, findings = read_output(path, view)
    rows = _scored_rows(solution)
    X = output.X
    if X is None and output.corrected is not None:
        X = _of_corrected(output.corrected)
        findings.append(f"no vectors in the output: its corrected expression is scored by {X.shape[1]} components")
    if X is None:
        values = dict.fromkeys(IDS, float("nan")) | _of_graph(output, solution, rows)
        values |= {standard: values[name] for name, standard in STANDARD.items()}
        findings.append("a graph alone: only the metrics of graphs are computed, and no composite of them")
        return Scored(values, {}, findings=findings)
    if backend == "scib":
        from sceval.metrics.backend_scib import scib_values

        obs, pre = solution.obs, solution.obsm["X_pre"][rows]
        result = scib_values(X[rows], obs["batch"][rows], obs["cell_type"][rows], pre)
        left_out = [f"{name}: not by scib ({why})" for name, why in result.left_out.items()]
        return Scored(result.values, {}, findings=findings + result.findings + left_out)
    scorer = _Both(X, solution, rows)
    return Scored(
        values=scorer.values() | _beside(output, X, solution, rows),
        replicates=replicate_table(scorer, plan),
        units=scorer.units(),
        unit_names=view.obs_names[rows],
        findings=findings + scorer.findings,
        layout=_layout(X, scorer.scib) if picture else None,
    )


def _layout(X: np.ndarray, scorer: IntegrationScorer) -> np.ndarray:
    space = scorer.all if scorer.n == len(X) else Space(X)
    return umap_layout(*space.nearest(np.ones(len(X), bool), min(15, len(X))))


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return the unintegrated PCA's values, and those with batches permuted inside each type ("no batch left").

    PCR compares with the batches as they are: the variance that they explain, against what permuted ones explain. It is
    undefined in both anchors where it is undefined on the dataset.
    """
    del view
    rows = _scored_rows(solution)
    scorer = _scorer(solution.obsm["X_pre"], solution, rows)
    out: dict[str, dict[str, list[float]]] = {
        name: {"unintegrated": [value]} for name, value in scorer.values().items()
    }
    labels = np.array([str(label) for label in solution.obs["cell_type"][rows]], object)
    pre = solution.obsm["X_pre"][rows]
    defined = np.isfinite(out["pcr"]["unintegrated"][0])
    before = batch_r2(pre, encode(solution.obs["batch"][rows])[0]) if defined else float("nan")
    rng = np.random.default_rng(0)
    for _ in range(PERMUTATIONS):
        batch = solution.obs["batch"][rows].copy()
        for name in np.unique(labels):
            mine = np.flatnonzero(labels == name)
            batch[mine] = batch[rng.permutation(mine)]
        values = scorer.with_batches(batch).values()
        values["pcr"] = pcr_comparison(before, batch_r2(pre, encode(batch)[0]))
        for name, value in values.items():
            out[name].setdefault("permuted", []).append(value)
    return out


TASK = Task(ID, prepare, oracle, plan, score, anchors)
