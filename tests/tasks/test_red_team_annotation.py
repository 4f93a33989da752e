"""Degenerate labels and probabilities: which metric each of them fools, and which one sees it.

`fools`: above an honest method (the shared head on a PCA), or as good where it should not be. `seen by`: far below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sceval import tasks
from sceval.contract import CellFile, h5ad
from sceval.data.preprocess import log_cp10k, pca
from sceval.metrics.registry import METRICS, headline
from sceval.metrics.resampling import replicates
from sceval.planning.scaling import demotion
from sceval.tasks.guard import BadOutput
from sceval.tasks.probe import probe

TASK = tasks.get("cell_type_annotation")


def _world(planted, split: str, folder) -> SimpleNamespace:
    view, solution = TASK.prepare(planted, None, "d", split, 0)
    rows = np.flatnonzero(solution.obs["part"] == "test")
    known = np.array([label for label in view.obs["cell_type"] if label is not None]).astype(str)
    names, counts = np.unique(known, return_counts=True)
    w = SimpleNamespace(view=view, solution=solution, rows=rows, n=len(rows), names=names, known={})
    w.prior = np.tile(counts / counts.sum(), (w.n, 1))
    w.rarest = int(counts.argmin())
    w.P = probe(view, pca(log_cp10k(planted.X), 30)[0])[0].probability
    w.depth = np.asarray(planted.X.sum(axis=1)).ravel()[rows]

    def score(probability, prediction=None, ids=None) -> dict[str, float]:
        out = CellFile(view.obs_names[rows] if ids is None else ids)
        best = names[probability.argmax(axis=1)]
        out.obs["prediction"] = np.asarray(best if prediction is None else prediction).astype(object)
        out.obs["confidence"] = probability.max(axis=1)
        out.obsm["probability"] = probability
        out.uns["classes"] = names.astype(object)
        h5ad.write(folder / "output.h5ad", out)
        return TASK.score(folder / "output.h5ad", view, solution, replicates(w.n, R=1), "sceval", False).values

    w.score = score
    w.honest = score(w.P)
    return w


@pytest.fixture(scope="module")
def intra(planted, tmp_path_factory):
    return _world(planted, "intra", tmp_path_factory.mktemp("intra"))


@pytest.fixture(scope="module")
def unseen(planted, tmp_path_factory):
    return _world(planted, "unseen_type", tmp_path_factory.mktemp("unseen"))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _best(w) -> np.ndarray:
    return w.names[w.P.argmax(axis=1)]


def _onehot(w, column) -> np.ndarray:
    return np.eye(len(w.names))[column]


def _half(w, keep) -> tuple:
    return w.P, np.where(keep, _best(w), "unassigned")


LABELS = ("accuracy", "macro_f1", "balanced_accuracy", "mcc")
PROBABILITIES = ("log_loss", "brier")

CHEATS: dict[str, tuple[Callable, tuple[str, ...], tuple[str, ...]]] = {
    "majority, prior as probability": (lambda w: (w.prior,), ("ece",), (*LABELS, *PROBABILITIES)),
    "drawn from the prior": (
        lambda w: (w.prior, _rng().choice(w.names, w.n, p=w.prior[0])),
        ("ece",),
        (*LABELS, *PROBABILITIES),
    ),
    "uniform": (
        lambda w: (np.full(w.P.shape, 1 / len(w.names)), _rng().choice(w.names, w.n)),
        (),
        (*LABELS, *PROBABILITIES),
    ),
    "rarest type everywhere, sure": (
        lambda w: (_onehot(w, np.full(w.n, w.rarest)),),
        (),
        (*LABELS, *PROBABILITIES, "ece"),
    ),
    "cells shuffled": (lambda w: (w.P[_rng().permutation(w.n)],), (), (*LABELS, *PROBABILITIES, "ece")),
    "classes shifted": (lambda w: (np.roll(w.P, 1, axis=1),), (), (*LABELS, *PROBABILITIES, "ece")),
    "labels in another case": (lambda w: (w.P, np.char.lower(_best(w))), ("log_loss", "brier", "ece"), LABELS),
    "abstains everywhere": (lambda w: _half(w, np.zeros(w.n, bool)), ("log_loss", "brier", "ece"), LABELS),
    "abstains on the unsure half": (
        lambda w: _half(w, w.P.max(axis=1) >= np.median(w.P.max(axis=1))),
        ("macro_precision", "log_loss", "ece"),
        LABELS,
    ),
    "abstains on shallow cells": (lambda w: _half(w, w.depth >= np.median(w.depth)), ("macro_precision",), LABELS),
    "sharpened": (lambda w: (_onehot(w, w.P.argmax(axis=1)),), LABELS, (*PROBABILITIES, "ece")),
    "flattened": (
        lambda w: (w.P**0.2 / (w.P**0.2).sum(axis=1, keepdims=True),),
        LABELS,
        (*PROBABILITIES, "ece"),
    ),
}
"""Cheat -> (probability and prediction, what it fools, what sees it)."""


def _better(metric: str, value: float, than: float) -> float:
    return METRICS[metric].direction * (value - than)


def _values(w, name: str) -> dict[str, float]:
    if name not in w.known:
        w.known[name] = w.score(*CHEATS[name][0](w))
    return w.known[name]


@pytest.mark.parametrize("name", CHEATS)
def test_what_a_cheat_fools_and_what_sees_it(intra, name):
    _, fools, seen_by = CHEATS[name]
    found = _values(intra, name)
    for metric in fools:
        assert _better(metric, found[metric], intra.honest[metric]) >= -1e-9, metric
    for metric in seen_by:
        assert _better(metric, found[metric], intra.honest[metric]) < -0.05, metric


def test_what_a_blind_cheat_wins_is_demoted_and_no_headline(intra):
    blind = {name: _values(intra, key) for name, key in zip("ab", list(CHEATS)[:2], strict=True)}
    rows = [(f"{n}-x", "negative_control", m, v) for n, values in blind.items() for m, v in values.items()]
    rows += [("probe", "baseline", m, v) for m, v in intra.honest.items()]
    table = pd.DataFrame(rows, columns=["variant", "kind", "metric", "value"])
    assert demotion("ece", table).startswith("demoted: the blind control")
    for metric in headline("cell_type_annotation"):
        assert demotion(metric.id, table) == ""


def test_permuted_ids_change_nothing(intra):
    order = _rng().permutation(intra.n)
    found = intra.score(intra.P[order], _best(intra)[order], intra.view.obs_names[intra.rows][order])
    assert found == pytest.approx(intra.honest)


def test_copies_of_training_labels_for_training_cells_are_no_answer(intra):
    train = intra.view.obs_names[intra.view.obs["part"] == "train"][: intra.n]
    with pytest.raises(BadOutput, match="cells are absent from the output"):
        intra.score(intra.P[: len(train)], ids=train)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda P: np.full(P.shape, np.nan), "NaN"),
        (lambda P: P * 0.5, "sum to 1"),
        (lambda P: np.log(P.clip(1e-3)), "outside 0 to 1"),
    ],
)
def test_probabilities_that_are_none_are_refused(intra, change, reason):
    with pytest.raises(BadOutput, match=re.escape(reason)):
        intra.score(change(intra.P))


def test_an_oracle_with_noise_is_near_one(intra, unseen, tmp_path):
    from sceval.contract.results import write_result

    for w in (intra, unseen):
        write_result(tmp_path / "o.h5ad", w.view, TASK.oracle(w.view, w.solution, 0))
        values = TASK.score(tmp_path / "o.h5ad", w.view, w.solution, replicates(w.n, R=1), "sceval", False).values
        assert min(values[name] for name in ("accuracy", "macro_f1")) > 0.9
        assert values.get("unseen_auroc", 1.0) > 0.95


# -- unseen types -----------------------------------------------------------------------------------------------------

UNSEEN = ("unseen_auroc", "unseen_auprc")
CURVE = ("rejection_auc", "accuracy_at_90", "accuracy_at_70", "accuracy_at_50")


@pytest.mark.parametrize("name", ["majority, prior as probability", "drawn from the prior", "uniform", "sharpened"])
def test_a_constant_confidence_is_chance_on_unseen_types(unseen, name):
    found = _values(unseen, name)
    assert found["unseen_auroc"] == pytest.approx(0.5)
    assert found["unseen_auprc"] == pytest.approx(
        TASK.anchors(unseen.view, unseen.solution)["unseen_auprc"]["floor"][0]
    )


@pytest.mark.parametrize("name", ["classes shifted", "labels in another case", "abstains everywhere"])
def test_wrong_labels_fool_the_ranking_of_unseen_types_and_the_rejection_curve_sees_them(unseen, name):
    found = _values(unseen, name)
    for metric in UNSEEN:
        assert found[metric] == pytest.approx(unseen.honest[metric])
    for metric in (*CURVE, "accuracy", "macro_f1"):
        assert found[metric] < unseen.honest[metric] - 0.2


def test_flat_probabilities_gain_on_unseen_types_and_lose_calibration(unseen):
    found = _values(unseen, "flattened")
    assert found["unseen_auroc"] >= unseen.honest["unseen_auroc"]
    assert found["log_loss"] > unseen.honest["log_loss"] + 0.2


def test_abstaining_at_random_or_on_shallow_cells_gains_nothing(unseen):
    drawn = unseen.score(unseen.prior, np.where(_rng().random(unseen.n) < 0.5, "unassigned", unseen.names[0]))
    assert abs(drawn["unseen_auroc"] - 0.5) < 0.1
    shallow = _values(unseen, "abstains on shallow cells")
    for metric in (*UNSEEN, *CURVE):
        assert shallow[metric] < unseen.honest[metric]
