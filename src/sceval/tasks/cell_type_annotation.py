"""Cell type annotation: labels of held-out cells from labelled ones, within a dataset or across batches or datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError, Problem
from sceval.contract.results import Annotation
from sceval.data import splits
from sceval.data.validate import LEAST_SHARED_GENES
from sceval.metrics.annotation import annotation_values
from sceval.metrics.resampling import Plan, replicates
from sceval.tasks import guard
from sceval.tasks.base import Scored, Task
from sceval.tasks.probe import probe as fit_probe
from sceval.tasks.views import solution_of, view_of

ORACLE_ERRORS = 0.02
"""Share of the cells that the oracle gets wrong."""


def _join(data: CellFile, query: CellFile) -> tuple[CellFile, np.ndarray]:
    """Return both datasets over the genes they share (the reference's order), and a mask of the query's cells.

    Cells and batches of the query get the prefix `query:`, because two datasets may both have a batch `1`.
    """
    where = {name: column for column, name in enumerate(query.var_names)}
    mine = np.array([column for column, name in enumerate(data.var_names) if name in where], int)
    if len(mine) < LEAST_SHARED_GENES:
        found = f"{len(mine)} genes shared by the dataset and its query"
        raise ContractError([Problem("datasets sheet, column query", found, f"at least {LEAST_SHARED_GENES}")])
    theirs = np.array([where[name] for name in data.var_names[mine]], int)
    names = np.concatenate([data.obs_names, np.array([f"query:{name}" for name in query.obs_names], object)])
    out = CellFile(names, data.var_names[mine], X=sparse.vstack([data.X[:, mine], query.X[:, theirs]]).tocsr())
    out.var = {key: values[mine] for key, values in data.var.items()}
    batches = [part.obs.get("batch", np.full(part.n_obs, "all", object)) for part in (data, query)]
    batches[1] = np.array([f"query:{name}" for name in batches[1]], object)
    out.obs["batch"] = np.concatenate(batches)
    labels = [part.obs.get("cell_type", np.full(part.n_obs, None, object)) for part in (data, query)]
    out.obs["cell_type"] = np.concatenate(labels)
    out.uns = data.uns
    return out, np.arange(len(names)) >= data.n_obs


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (labels of training and validation cells only, `obs['part']`) and solution.

    `intra`: 70/30 stratified by label. `inter`: whole batches held out, or a second dataset.
    """
    is_query = None
    if query is not None:
        data, is_query = _join(data, query)
    labels = data.obs["cell_type"]
    if split == "intra":
        part = splits.intra(labels, split_seed)
    elif is_query is not None:
        part = splits.from_query(labels, is_query, split_seed)
    else:
        part, _held = splits.inter(labels, data.obs["batch"], split_seed)
    _check_parts(part, labels, dataset, split)
    view = view_of(data, dataset, TASK.id, split)
    view.obs["part"] = part
    view.obs["cell_type"] = np.where(part == "test", None, labels)
    solution = solution_of(data, dataset, TASK.id, split)
    solution.obs["part"] = part
    return view, solution


def _check_parts(part: np.ndarray, labels: np.ndarray, dataset: str, split: str) -> None:
    known = np.array([label is not None for label in labels])
    n_test, types = int((known & (part == "test")).sum()), sorted(set(labels[known & (part == "train")]))
    if not n_test or len(types) < 2:
        found = f"{n_test} labelled test cells, and {len(types)} cell types in the training part"
        expected = "at least one labelled test cell and two types to learn"
        raise ContractError([Problem(f"dataset {dataset}, split {split}", found, expected)])


def _test_rows(solution: CellFile) -> np.ndarray:
    known = np.array([label is not None for label in solution.obs["cell_type"]])
    return np.flatnonzero((solution.obs["part"] == "test") & known)


def oracle(view: CellFile, solution: CellFile, seed: int) -> Annotation:
    """Give the true label to all test cells but `ORACLE_ERRORS` of them, whose label is drawn at random."""
    rows = _test_rows(solution)
    rng = np.random.default_rng(seed)
    known = [label for label in solution.obs["cell_type"] if label is not None]
    classes = np.array(sorted(set(known)), object)
    codes = np.searchsorted(classes.astype(str), solution.obs["cell_type"][rows].astype(str))
    wrong = rng.random(len(rows)) < ORACLE_ERRORS
    codes[wrong] = rng.integers(0, len(classes), int(wrong.sum()))
    probability = np.full((len(rows), len(classes)), ORACLE_ERRORS / len(classes))
    probability[np.arange(len(rows)), codes] += 1 - ORACLE_ERRORS
    return Annotation(rows, classes, probability)


def plan(view: CellFile, solution: CellFile) -> Plan:
    """Leave out batches of the test part where there are at least five, else fifths of its cells."""
    del view
    rows = _test_rows(solution)
    groups = solution.obs["batch"][rows].astype(str) if "batch" in solution.obs else None
    return replicates(len(rows), groups=groups)


def score(path: Path, view: CellFile, solution: CellFile, plan: Plan, backend: str, picture: bool) -> Scored:
    """Score predicted labels of the test cells that have a true one."""
    del backend, picture  # scib has no metric of this task; its picture is the confusion matrix
    rows = _test_rows(solution)
    output, findings = guard.annotation(path, view, solution.obs_names[rows])
    truth = solution.obs["cell_type"][rows]
    given = (truth, output.obs["prediction"], output.obsm.get("probability"), output.uns.get("classes"))
    whole = annotation_values(*given)
    tables: dict[str, list[float]] = {name: [] for name in whole.values}
    for mask in plan.masks:
        for name, value in annotation_values(*given, weights=mask.astype(float)).values.items():
            tables[name].append(value)
    known = [*whole.classes, "unassigned"]
    confusion = [
        {"truth": known[i], "prediction": known[j], "n": int(whole.confusion[i, j])}
        for i, j in zip(*np.nonzero(whole.confusion), strict=True)
    ]
    trained = view.obs["cell_type"].astype(str)
    per_class = [
        {
            "cell_type": row["class"],
            "n_test": row["cells"],
            "n_train": int((trained == row["class"]).sum()),
            **{key: row[key] for key in ("precision", "recall", "f1", "in_macro")},
        }
        for row in whole.per_class
    ]
    return Scored(
        values=whole.values,
        replicates={name: np.array(values) for name, values in tables.items()},
        units=whole.units,
        unit_names=solution.obs_names[rows],
        findings=findings + whole.findings,
        confusion=confusion,
        per_class=per_class,
    )


def anchors(view: CellFile, solution: CellFile) -> dict[str, dict[str, list[float]]]:
    """Return nothing: the anchors of this task are runs (controls) and constants."""
    del view, solution
    return {}


def probe(view: CellFile, embedding: Path, seed: int) -> tuple[Annotation, dict, list[str]]:
    """Put multinomial logistic regression on a cell embedding; it needs no seed."""
    del seed
    X, findings = guard.embedding(embedding, view)
    return *fit_probe(view, X), findings


TASK = Task("cell_type_annotation", prepare, oracle, plan, score, anchors, probe)
