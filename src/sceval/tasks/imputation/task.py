"""Oracle, replicates and scores of imputation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Imputed
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.imputation.counts import anchors_counts, score_counts
from sceval.tasks.imputation.prepare import ID, prepare
from sceval.tasks.imputation.spots import anchors_spots, score_spots
from sceval.tasks.imputation.truth import truth_of


def oracle(view: CellFile, solution: CellFile, seed: int) -> Imputed:
    """Give rates drawn from their posterior given the held-out counts: as good as the true rates, and no better."""
    truth = truth_of(view, solution)
    rng = np.random.default_rng(seed)
    if truth.split == "spatial":
        X = view.X[truth.rows].toarray()
        X[:, truth.columns] = truth.drawn(rng)
        return Imputed(truth.rows, X)
    return Imputed(truth.rows, truth.drawn(rng))


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out batches or fifths of the cells; for spots, genes."""
    truth = truth_of(view, solution)
    if truth.split == "spatial":
        n = int(truth.told.sum())
        return replicates(n, groups=np.arange(n), unit="gene")
    batch = view.obs.get("batch")
    return replicates(view.n_obs, groups=None if batch is None else batch.astype(str))


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score expected counts on what the view hides."""
    del backend, picture
    truth = truth_of(view, solution)
    X, findings = guard.imputed(path, view, truth.rows)
    if truth.split == "spatial":
        return score_spots(X[:, truth.columns], truth, plan, findings)
    return score_counts(X, truth, plan, findings)


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return what needs no model (`floor`) and what the noise of the counts allows (`ceiling`)."""
    truth = truth_of(view, solution)
    return anchors_spots(truth) if truth.split == "spatial" else anchors_counts(truth)


TASK = Task(ID, prepare, oracle, plan, score, anchors)
