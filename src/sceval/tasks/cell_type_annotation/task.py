"""Cell type annotation: its positive control, and how labels of the test cells are scored."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Annotation
from sceval.metrics.annotation import UNASSIGNED, annotation_values
from sceval.metrics.annotation import Annotation as AnnotationScores
from sceval.metrics.rejection import best_values, doubts, rejection_values
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.cell_type_annotation.prepare import ID, prepare
from sceval.tasks.probe import probe as fit_probe

ORACLE_ERRORS = 0.02
"""Share of the cells that the oracle gets wrong."""


def _test_rows(solution: CellFile) -> np.ndarray:
    known = np.array([label is not None for label in solution.obs["cell_type"]])
    return np.flatnonzero((solution.obs["part"] == "test") & known)


def _unseen(view: CellFile, solution: CellFile, rows: np.ndarray) -> np.ndarray | None:
    """Return which of the cells are of a type that no labelled cell has; None where the split does not ask for it."""
    if solution.uns["sceval"]["split"] != "unseen_type":
        return None
    known = {label for label in view.obs["cell_type"] if label is not None}
    return np.array([label not in known for label in solution.obs["cell_type"][rows]], bool)


def oracle(view: CellFile, solution: CellFile, seed: int) -> Annotation:
    """Give the true label to all test cells but `ORACLE_ERRORS` of them, whose label is drawn at random.

    In `unseen_type` cells of unseen types are `unassigned`, with equal probabilities.
    """
    rows = _test_rows(solution)
    rng = np.random.default_rng(seed)
    unseen = _unseen(view, solution, rows)
    known = [label for label in (solution if unseen is None else view).obs["cell_type"] if label is not None]
    classes = np.array(sorted(set(known)), object)
    codes = np.searchsorted(classes.astype(str), solution.obs["cell_type"][rows].astype(str)).clip(max=len(classes) - 1)
    wrong = rng.random(len(rows)) < ORACLE_ERRORS
    codes[wrong] = rng.integers(0, len(classes), int(wrong.sum()))
    probability = np.full((len(rows), len(classes)), ORACLE_ERRORS / len(classes))
    probability[np.arange(len(rows)), codes] += 1 - ORACLE_ERRORS
    if unseen is None:
        return Annotation(rows, classes, probability)
    abstain = unseen & ~wrong
    probability[abstain] = 1 / len(classes)
    return Annotation(rows, classes, probability, np.where(abstain, UNASSIGNED, classes[codes]))


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out batches of the test part where there are at least five, else fifths of its cells."""
    del view
    rows = _test_rows(solution)
    groups = solution.obs["batch"][rows].astype(str) if "batch" in solution.obs else None
    return replicates(len(rows), groups=groups)


def _confidence(output: CellFile, findings: list[str]) -> np.ndarray:
    """Return the confidence of each prediction: the output's own, else its largest probability, else 1."""
    if "confidence" in output.obs:
        return np.asarray(output.obs["confidence"], float)
    if "probability" in output.obsm:
        return output.obsm["probability"].max(axis=1)
    findings.append("neither confidence nor probabilities in the output: only `unassigned` tells an unseen type")
    return np.ones(output.n_obs)


class _Scorer:
    """Metrics of one output on any subset of its cells."""

    def __init__(self, output: CellFile, truth: np.ndarray, unseen: np.ndarray | None, findings: list[str]) -> None:
        self.seen = np.ones(len(truth), bool) if unseen is None else ~unseen
        self.unseen = unseen
        probability = output.obsm.get("probability")
        rows = self.seen
        self.given = (
            truth[rows],
            output.obs["prediction"][rows],
            None if probability is None else probability[rows],
            output.uns.get("classes"),
        )
        self.whole = annotation_values(*self.given)
        if unseen is not None:
            self.doubt = doubts(output.obs["prediction"], _confidence(output, findings))
            self.right = (output.obs["prediction"].astype(str) == truth.astype(str)) & ~unseen

    def values(self, mask: np.ndarray | None = None) -> dict[str, float]:
        """Return all values, of the cells of a mask (n,) where one is given."""
        if mask is None:
            mask, out = np.ones(len(self.seen), bool), dict(self.whole.values)
        else:
            out = annotation_values(*self.given, weights=mask[self.seen].astype(float)).values
        if self.unseen is not None:
            out |= rejection_values(self.right[mask], self.doubt[mask], self.unseen[mask])
        return out


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score predicted labels of the test cells that have a true one.

    In `unseen_type` the metrics of labels are those of cells whose type the reference has, and what the confidence
    says of the others is scored beside them.
    """
    del backend, picture  # scib has no metric of this task; its picture is the confusion matrix
    rows = _test_rows(solution)
    output, findings = guard.annotation(path, view, solution.obs_names[rows])
    unseen = _unseen(view, solution, rows)
    scorer = _Scorer(output, solution.obs["cell_type"][rows], unseen, findings)
    whole = scorer.whole
    if unseen is not None:
        names = sorted(set(solution.obs["cell_type"][rows][unseen]))
        findings.append(
            f"types that no reference cell has: {', '.join(names)} ({int(unseen.sum())} of {len(rows)} test cells); "
            "accuracy, F1 and calibration are of the other cells"
        )
    tables: dict[str, list[float]] = {}
    for mask in plan.masks:
        for name, value in scorer.values(mask).items():
            tables.setdefault(name, []).append(value)
    return Scored(
        values=scorer.values(),
        replicates={name: np.array(values) for name, values in tables.items()},
        units=whole.units,
        unit_names=solution.obs_names[rows][scorer.seen],
        findings=findings + whole.findings,
        confusion=_confusion(output.obs["prediction"], solution.obs["cell_type"][rows]),
        per_class=_per_class(whole, view),
    )


def _confusion(prediction: np.ndarray, truth: np.ndarray) -> list[dict[str, Any]]:
    pairs = Counter(zip(truth.astype(str).tolist(), prediction.astype(str).tolist(), strict=True))
    return [{"truth": true, "prediction": given, "n": n} for (true, given), n in sorted(pairs.items())]


def _per_class(whole: AnnotationScores, view: CellFile) -> list[dict[str, Any]]:
    trained = view.obs["cell_type"].astype(str)
    return [
        {
            "cell_type": row["class"],
            "n_test": row["cells"],
            "n_train": int((trained == row["class"]).sum()),
            **{key: row[key] for key in ("precision", "recall", "f1", "in_macro")},
        }
        for row in whole.per_class
    ]


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return, for `unseen_type`, the prevalence and what is possible at best; other anchors are runs and constants."""
    unseen = _unseen(view, solution, _test_rows(solution))
    if unseen is None:
        return {}
    out = {name: {"ceiling": [value]} for name, value in best_values(unseen).items()}
    out["unseen_auprc"]["floor"] = [float(unseen.mean())]
    return out


def probe(view: CellFile, embedding: Path, seed: int) -> tuple[Annotation, dict, list[str]]:
    """Put multinomial logistic regression on a cell embedding; it needs no seed."""
    del seed
    X, findings = guard.embedding(embedding, view)
    return *fit_probe(view, X), findings


TASK = Task(ID, prepare, oracle, plan, score, anchors, probe)
