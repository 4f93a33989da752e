"""Batch integration: are batches mixed and cell types kept apart? Every cell is seen, no label is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Embedding
from sceval.metrics.coding import encode
from sceval.metrics.integration import IntegrationScorer
from sceval.metrics.layout import umap_layout
from sceval.metrics.pcr import batch_r2, pcr_comparison
from sceval.metrics.resampling import Plan, replicate_table, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.views import solution_of, unintegrated, view_of

ORACLE_NOISE = 0.1
"""Standard deviation of the oracle's noise, in units of the distance of a label from the origin."""

PERMUTATIONS = 20
"""Times that batches are permuted inside each type for the anchor "no batch left"."""


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (counts, genes, batch) and solution (batch, label, unintegrated PCA); the one split is all cells."""
    del query, split_seed
    view = view_of(data, dataset, TASK.id, split)
    solution = solution_of(data, dataset, TASK.id, split)
    solution.obsm["X_pre"] = unintegrated(data)
    return view, solution


def oracle(view: CellFile, solution: CellFile, seed: int) -> Embedding:
    """Embed each cell at its label with Gaussian noise, blind to batch; cells without a label at the origin."""
    del view
    labels = solution.obs["cell_type"]
    names = sorted({label for label in labels if label is not None})
    X = np.random.default_rng(seed).normal(0, ORACLE_NOISE, (len(labels), len(names)))
    for column, name in enumerate(names):
        X[labels == name, column] += 1.0
    return Embedding(X)


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out batches where there are at least five, else fifths of the cells."""
    del view
    return replicates(solution.n_obs, groups=solution.obs["batch"].astype(str))


def _scorer(X: np.ndarray, solution: CellFile) -> IntegrationScorer:
    return IntegrationScorer(X, solution.obs["batch"], solution.obs["cell_type"], pre=solution.obsm["X_pre"])


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score a cell embedding; see `IntegrationScorer` for the metrics."""
    X, findings = guard.embedding(path, view)
    if backend == "scib":
        from sceval.metrics.backend_scib import scib_values

        result = scib_values(X, solution.obs["batch"], solution.obs["cell_type"], solution.obsm["X_pre"])
        left_out = [f"{name}: not by scib ({why})" for name, why in result.left_out.items()]
        return Scored(result.values, {}, findings=findings + result.findings + left_out)
    scorer = _scorer(X, solution)
    values = scorer.values()
    everyone = np.ones(view.n_obs, bool)
    return Scored(
        values=values,
        replicates=replicate_table(scorer, plan),
        units=scorer.units(),
        unit_names=view.obs_names,
        findings=findings + scorer.findings,
        layout=umap_layout(*scorer.all.nearest(everyone, min(15, view.n_obs))) if picture else None,
    )


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return the unintegrated PCA's values, and those with batches permuted inside each type ("no batch left").

    PCR compares with the batches as they are: the variance that they explain, against what permuted ones explain. It is
    undefined in both anchors where it is undefined on the dataset.
    """
    del view
    scorer = _scorer(solution.obsm["X_pre"], solution)
    out: dict[str, dict[str, list[float]]] = {
        name: {"unintegrated": [value]} for name, value in scorer.values().items()
    }
    labels = np.array([str(label) for label in solution.obs["cell_type"]], object)
    pre = solution.obsm["X_pre"]
    defined = np.isfinite(out["pcr"]["unintegrated"][0])
    before = batch_r2(pre, encode(solution.obs["batch"])[0]) if defined else float("nan")
    rng = np.random.default_rng(0)
    for _ in range(PERMUTATIONS):
        batch = solution.obs["batch"].copy()
        for name in np.unique(labels):
            rows = np.flatnonzero(labels == name)
            batch[rows] = batch[rng.permutation(rows)]
        values = scorer.with_batches(batch).values()
        values["pcr"] = pcr_comparison(before, batch_r2(pre, encode(batch)[0]))
        for name, value in values.items():
            out[name].setdefault("permuted", []).append(value)
    return out


TASK = Task("batch_integration", prepare, oracle, plan, score, anchors)
