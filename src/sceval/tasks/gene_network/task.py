"""Oracle, replicates and scores of gene network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Network
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks.base import Scored, Task
from sceval.tasks.gene_network.anchors import anchors
from sceval.tasks.gene_network.edges import ALL, Edges, group_names, network
from sceval.tasks.gene_network.prepare import ID, prepare
from sceval.tasks.gene_network.probe import probe
from sceval.tasks.gene_network.truth import Truth
from sceval.tasks.gene_network.values import found_in, stability

ORACLE_NOISE = 0.15
"""Standard deviation of the noise on the oracle's edges, which are 1 where an edge is and 0 where none is."""


def _shared_sets(truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the surest pairs of genes that share a set, up to the edges that are scored; small sets are surest."""
    genes = np.flatnonzero(truth.sets.any(axis=0))
    sets = truth.sets[:, genes]
    share = np.zeros((len(genes), len(genes)), np.float32)
    for members in sets:
        inside = np.flatnonzero(members)
        grid = np.ix_(inside, inside)
        share[grid] = np.maximum(share[grid], 1.0 / len(inside))
    a, b = np.nonzero(np.triu(share, 1))
    order = np.argsort(-share[a, b], kind="stable")[: truth.n_edges]
    clean = share[a[order], b[order]].astype(float)
    return genes[a[order]], genes[b[order]], clean / clean.max(initial=1e-12)


def oracle(view: CellFile, solution: CellFile, seed: int) -> Network:
    """Write the edges of the reference with noise, for each group its own; without one, pairs that share gene sets."""
    truth = Truth.of(view, solution)
    rng = np.random.default_rng(seed)
    if truth.matrix is not None:
        row, column = np.nonzero(truth.possible)
        source, target = truth.sources[row], truth.targets[column]
        clean = truth.matrix[row, column].astype(float)
    else:
        source, target, clean = _shared_sets(truth)
    names, groups = view.var_names, group_names(view)
    score = np.concatenate([clean + rng.normal(0.0, ORACLE_NOISE, len(clean)) for _ in groups])
    group = None if groups == [ALL] else np.repeat(np.array(groups, object), len(clean))
    return Network(np.tile(names[source], len(groups)), np.tile(names[target], len(groups)), score, group=group)


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out fifths of the regulators; no replicates without a reference."""
    truth = Truth.of(view, solution)
    n = 0 if truth.matrix is None else len(truth.sources)
    return replicates(n, groups=np.arange(n), unit="regulator")


def _mean(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Mean of each value over the networks in which it is defined."""
    out = {}
    for name in rows[0]:
        stacked = np.array([row[name] for row in rows], float)
        good = np.isfinite(stacked)
        total = np.where(good, stacked, 0.0).sum(axis=0)
        out[name] = np.where(good.any(axis=0), total / np.maximum(good.sum(axis=0), 1), np.nan)
    return out


def _same(a: Edges, b: Edges) -> bool:
    pairs = ((a.source, b.source), (a.target, b.target), (a.score, b.score))
    return all(np.array_equal(x, y) for x, y in pairs)


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score edges against the reference and their programs; the mean over the groups of cells, where there are any."""
    del backend, picture
    networks, findings = network(path, view)
    truth = Truth.of(view, solution)
    found = {name: found_in(edges, truth, plan) for name, edges in networks.items()}
    values = {name: float(value) for name, value in _mean([part.values for part in found.values()]).items()}
    if solution.uns["sceval"]["split"] == "halves":
        pair = [name for name in group_names(view) if name in found]
        if len(pair) == 2 and _same(*(networks[name] for name in pair)):
            findings.append(
                "both halves have the very same network: it does not look at the cells, so it has no stability"
            )
            pair = []
        undefined = {"edge_stability": np.nan, "program_stability": np.nan}
        values |= stability(*(found[name] for name in pair)) if len(pair) == 2 else undefined
    scored = Scored(values, _mean([part.replicates for part in found.values()]), findings=findings)
    if truth.matrix is not None:
        by_source = _mean([{"auroc": part.by_source} for part in found.values()])["auroc"]
        scored.units["network_auroc"] = (view.var_names[truth.sources], by_source)
    if len(found) > 1:
        told = "program_terms" if truth.matrix is None else "network_auprc"
        scored.units[told] = (np.array(list(found), object), np.array([p.values[told] for p in found.values()]))
    if truth.matrix is None:
        scored.findings.append("no reference network: only programs and their enrichment are scored")
    return scored


TASK = Task(ID, prepare, oracle, plan, score, anchors, probe)
