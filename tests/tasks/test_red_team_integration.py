"""Degenerate embeddings, graphs and expression: which metric each of them fools, and which one sees it.

`fools`: above an honest method (the PCA of each batch, centered). `seen by`: far below it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sceval import tasks
from sceval.contract import CellFile, h5ad
from sceval.contract.results import Embedding, write_result
from sceval.contract.sample import take
from sceval.metrics.registry import headline
from sceval.metrics.resampling import replicates
from sceval.metrics.space import Space
from sceval.models.controls import embeddings
from sceval.models.request import Request
from sceval.planning.scaling import demotion
from sceval.tasks.guard import BadOutput

TASK = tasks.get("batch_integration")
N = 350
SEEN = ("nmi", "nmi_fixed", "rnx", "intra_type", "s_final")


@pytest.fixture(scope="module")
def world(planted, tmp_path_factory):
    """View, solution, PCA, and a function that scores; the honest method's values."""
    cells = take(planted, np.sort(np.random.default_rng(0).permutation(700)[:N]))
    view, solution = TASK.prepare(cells, None, "d", "all", 0)
    folder = tmp_path_factory.mktemp("red")

    def score(result: Embedding | Path) -> dict[str, float]:
        path = result if isinstance(result, Path) else folder / "output.h5ad"
        if not isinstance(result, Path):
            write_result(path, view, result)
        return TASK.score(path, view, solution, replicates(N, R=1), "sceval", False).values

    pre, batch = solution.obsm["X_pre"].astype(float), solution.obs["batch"].astype(str)
    centered = pre.copy()
    for name in np.unique(batch):
        centered[batch == name] -= centered[batch == name].mean(axis=0)
    found = SimpleNamespace(view=view, solution=solution, pre=pre, score=score, folder=folder, known={})
    found.honest, found.pca = score(Embedding(centered)), score(Embedding(pre))
    return found


def _request(world) -> Request:
    return Request(world.view, "scratch", {}, 0, "cpu")


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _nan(world) -> np.ndarray:
    X = world.pre.copy()
    X[_rng().permutation(N)[: int(0.4 * N)]] = np.nan
    return X


BLIND: dict[str, tuple[Callable, tuple[str, ...], tuple[str, ...]]] = {
    "noise": (lambda w: embeddings.random(_request(w)), ("kbet50",), SEEN),
    "batch alone": (lambda w: embeddings.batch_onehot(_request(w)), (), (*SEEN, "bras", "ilisi_knn", "kbet50")),
    "depth alone": (lambda w: embeddings.log_total(_request(w)), (), (*SEEN, "bras", "ilisi_knn", "kbet50")),
    "cells shuffled": (lambda w: w.pre[_rng().permutation(N)], ("kbet50",), SEEN),
    "log-transformed": (lambda w: np.sign(w.pre) * np.log1p(np.abs(w.pre)), ("participation",), ("rnx", "s_batch")),
    "rows of NaN": (_nan, ("kbet50",), ("nmi_fixed", "rnx", "intra_type", "s_final")),
    "constant but for rounding": (lambda w: 1 + 1e-5 * _rng().normal(size=(N, 5)), ("kbet50",), SEEN),
    "mean with noise": (
        lambda w: w.pre.mean(axis=0) + 1e-3 * _rng().normal(size=w.pre.shape),
        ("kbet50", "asw_batch", "bras"),
        SEEN,
    ),
    "copies of eight points": (
        lambda w: _rng().normal(size=(8, 4))[_rng().integers(0, 8, N)],
        ("kbet50",),
        (*SEEN, "gc_scib", "kbet_label"),
    ),
    "one component": (lambda w: w.pre[:, :1], ("kbet50",), ("nmi_fixed", "rnx", "intra_type", "s_final")),
    "whitened": (lambda w: w.pre / w.pre.std(axis=0), ("participation",), SEEN),
    "signs alone": (lambda w: (w.pre > 0) * 1.0, ("asw_batch",), SEEN),
}
"""Cheat -> (embedding, what it fools, what sees it)."""


def _values(world, name: str) -> dict[str, float]:
    if name not in world.known:
        world.known[name] = world.score(Embedding(BLIND[name][0](world)))
    return world.known[name]


@pytest.mark.parametrize("name", BLIND)
def test_what_a_blind_cheat_fools_and_what_sees_it(world, name):
    _, fools, seen_by = BLIND[name]
    found = _values(world, name)
    for metric in fools:
        assert found[metric] > world.honest[metric], metric
    for metric in seen_by:
        assert found[metric] < world.honest[metric] - 0.05, metric
    assert found["s_final"] < world.honest["s_final"]  # what ranks is won by none of them


def test_what_a_blind_cheat_wins_is_no_headline_or_is_demoted(world):
    rows = [
        (name, kind, metric, value)
        for name, kind, values in (
            ("noise", "negative_control", _values(world, "noise")),
            ("mean", "negative_control", _values(world, "mean with noise")),
            ("pca", "baseline", world.pca),
            ("centered", "baseline", world.honest),
        )
        for metric, value in values.items()
    ]
    table = pd.DataFrame(rows, columns=["variant", "kind", "metric", "value"])
    assert "demoted: the blind control noise" in demotion("kbet50", table)
    assert "demoted: the blind control mean" in demotion("asw_batch", table)
    for metric in headline("batch_integration"):
        assert demotion(metric.id, table) == ""


def test_scaled_and_turned_embeddings_gain_nothing(world):
    turn = np.linalg.qr(_rng().normal(size=(world.pre.shape[1],) * 2))[0]
    for X in (world.pre * 1e6, world.pre @ turn + 5.0):
        found = world.score(Embedding(X))
        for metric in ("nmi", "rnx", "intra_type", "scgraph", "kbet50", "pcr"):
            assert found[metric] == pytest.approx(world.pca[metric], abs=0.06), metric


def test_label_islands_win_every_scib_score_and_are_seen_by_structure_alone(world):
    """They read the solution, so they demote nothing: they show what a metric cannot see."""
    found = world.score(TASK.oracle(world.view, world.solution, 0))
    for metric in ("nmi", "ari", "asw_label", "gc_scib", "clisi_knn", "isolated_f1", "s_bio", "s_final", "nmi_fixed"):
        assert found[metric] > world.honest[metric], metric
    for metric in ("rnx", "intra_type", "scgraph", "scgraph_corrected", "knn_overlap"):
        assert found[metric] < world.honest[metric] - 0.3, metric


def test_permuted_ids_change_nothing(world):
    order = _rng().permutation(N)
    path = world.folder / "turned.h5ad"
    h5ad.write(path, CellFile(world.view.obs_names[order], obsm={"X_emb": world.pre[order].astype("f4")}))
    assert world.score(path) == pytest.approx(world.pca, abs=1e-6, nan_ok=True)


def test_a_flood_of_edges_fools_connectivity_and_random_edges_fool_mixing(world):
    graph = Space(world.pre).graph(15)
    honest = world.score(Embedding(None, connectivities=graph))
    assert np.isnan(honest["s_final"])  # a graph alone makes no rank
    assert honest["nmi"] == honest["graph_nmi"] == pytest.approx(world.pca["nmi"], abs=0.02)
    flood = world.score(Embedding(None, connectivities=sparse.csr_matrix(np.ones((N, N)))))
    assert flood["graph_gc"] == 1.0
    assert flood["graph_gc"] > honest["graph_gc"]
    assert flood["graph_ari"] < honest["graph_ari"] - 0.2  # its NMI is that of single cells, which is not 0
    links = sparse.random(N, N, 15 / N, random_state=0, format="csr")
    random = world.score(Embedding(None, connectivities=links))
    assert random["graph_ilisi"] > honest["graph_ilisi"] + 0.2
    assert random["graph_nmi"] < honest["graph_nmi"] - 0.2
    assert random["graph_clisi"] < honest["graph_clisi"] - 0.1


def test_corrected_expression_is_scored_by_its_components(world):
    expression = world.view.X.toarray()
    alone = world.score(Embedding(None, corrected=expression))
    beside = world.score(Embedding(world.pre, corrected=expression))
    assert alone["corrected_s_final"] == pytest.approx(alone["s_final"])
    assert beside["s_final"] == pytest.approx(world.pca["s_final"])
    assert beside["corrected_s_final"] == pytest.approx(alone["s_final"], abs=0.02)
    noise = world.score(Embedding(world.pre, corrected=_rng().normal(size=expression.shape)))
    assert noise["corrected_s_bio"] < beside["corrected_s_bio"] - 0.1


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (lambda w: Embedding(np.ones((N, 3))), "constant"),
        (lambda w: Embedding(np.full((N, 3), np.nan)), "have no embedding"),
        (lambda w: Embedding(None), "found nothing, and neither"),
        (lambda w: Embedding(None, corrected=np.ones((N, w.view.n_vars))), "corrected expression is constant"),
        (lambda w: Embedding(None, connectivities=sparse.csr_matrix((N, N))), "no edge"),
        (lambda w: Embedding(None, connectivities=sparse.eye(N, format="csr")), "no edge"),
    ],
)
def test_outputs_without_any_content_are_refused(world, output, reason):
    with pytest.raises(BadOutput, match=re.escape(reason)):
        world.score(output(world))


def test_the_split_with_labels_hides_a_third_and_scores_those_alone(planted, tmp_path):
    """A method that writes the labels it was shown into its embedding gains nothing on the hidden ones."""
    cells = take(planted, np.sort(np.random.default_rng(0).permutation(700)[:N]))
    view, solution = TASK.prepare(cells, None, "d", "with_labels", 0)
    shown = np.array([label is not None for label in view.obs["cell_type"]])
    assert 0.65 < shown.mean() < 0.75
    assert np.array_equal(shown, solution.obs["part"] != "test")
    assert np.array_equal(view.obs["cell_type"][shown], solution.obs["cell_type"][shown])
    names = np.unique(solution.obs["cell_type"].astype(str))
    copied = np.random.default_rng(0).normal(0, 0.1, (N, len(names)))
    copied[shown] += (view.obs["cell_type"][shown].astype(str)[:, None] == names).astype(float)
    values = {}
    for name, result in (("copied", Embedding(copied)), ("oracle", TASK.oracle(view, solution, 0))):
        write_result(tmp_path / f"{name}.h5ad", view, result)
        plan = TASK.plan(view, solution)
        assert plan.masks.shape[1] == int((~shown).sum())
        plan = replicates(int((~shown).sum()), R=2)
        scored = TASK.score(tmp_path / f"{name}.h5ad", view, solution, plan, "sceval", True)
        assert scored.layout.shape == (N, 2)
        assert len(scored.units["rnx"]) == len(scored.unit_names) == int((~shown).sum())
        values[name] = scored.values
    assert values["copied"]["nmi"] < 0.4
    assert values["oracle"]["nmi"] > 0.9
    assert set(TASK.anchors(view, solution)["bras"]) == {"unintegrated", "permuted"}
