from __future__ import annotations

import numpy as np
import pytest

from sceval.metrics import registry
from sceval.metrics.composite import composite_scores
from sceval.metrics.integration import IDS, IntegrationScorer


def same(a, b, tolerance=1e-12):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == pytest.approx(b[name], abs=tolerance, nan_ok=True), name


@pytest.fixture(scope="module")
def scorer(mixture):
    X, pre, batch, label = mixture
    return IntegrationScorer(X, batch, label, pre)


def test_ids_are_those_of_the_registry_and_in_range(scorer):
    values = scorer.values()
    assert tuple(values) == IDS == tuple(m.id for m in registry.for_task("batch_integration"))[: len(IDS)]
    for name, value in values.items():
        low, high = registry.METRICS[name].range
        assert np.isnan(value) or low - 1e-12 <= value <= high + 1e-12, name
    assert not scorer.partial


def test_composites():
    parts = {"nmi": 0.5, "ari": 0.2, "asw_label": 0.8, "asw_batch": 0.9, "pcr": 0.3, "gc_scib": 0.6}
    assert composite_scores(parts) == pytest.approx({"s_bio": 0.5, "s_batch": 0.6, "s_final": 0.54})
    without = composite_scores(parts | {"pcr": float("nan")})
    assert without == pytest.approx({"s_bio": 0.5, "s_batch": 0.75, "s_final": 0.6})


def test_replicate_of_all_cells_equals_values(scorer):
    same(scorer.replicate(np.ones(240, bool)), scorer.values())


def test_replicate_equals_a_fresh_scorer_where_nothing_is_approximated(scorer, mixture):
    X, pre, batch, label = mixture
    keep = np.random.default_rng(0).random(240) < 0.8
    mine = scorer.replicate(keep)
    fresh = IntegrationScorer(X[keep], batch[keep], label[keep], pre[keep]).values()
    for name in ("pcr", "gc_scib", "gc_knn", "kbet50"):
        assert mine[name] == pytest.approx(fresh[name], abs=1e-9), name
    # Silhouettes and kernels are those of the full data: near, not equal.
    for name in ("asw_label", "asw_batch", "bras", "ilisi_knn", "clisi_knn", "cilisi", "s_final"):
        assert mine[name] == pytest.approx(fresh[name], abs=0.08), name


def test_leaving_out_a_batch(scorer, mixture):
    values = scorer.replicate(mixture[2] != "x")
    assert np.isfinite([values[name] for name in ("pcr", "ilisi_knn", "kbet50", "s_final")]).all()


def test_units_give_back_the_values(scorer, mixture):
    units, values = scorer.units(), scorer.values()
    assert np.mean(units["asw_label"]) == pytest.approx(values["asw_label"])
    assert np.median(units["ilisi_knn"]) == pytest.approx(values["ilisi_knn"])
    assert np.median(units["clisi_graph"]) == pytest.approx(values["clisi_graph"])
    assert np.mean(units["kbet50"]) == pytest.approx(values["kbet50"])
    assert np.nanmean(units["cilisi"]) == pytest.approx(values["cilisi"])
    per_label = [units["bras"][mixture[3] == name].mean() for name in set(mixture[3])]
    assert np.mean(per_label) == pytest.approx(values["bras"])


def test_same_twice_and_independent_of_cell_order(scorer, mixture):
    X, pre, batch, label = mixture
    same(IntegrationScorer(X, batch, label, pre).values(), scorer.values(), 0)
    order = np.random.default_rng(1).permutation(240)
    moved = IntegrationScorer(X[order], batch[order], label[order], pre[order]).values()
    base = scorer.values()
    for name in IDS:
        loose = name in ("nmi", "ari", "isolated_f1", "s_bio", "s_final")  # the clustering starts elsewhere
        assert moved[name] == pytest.approx(base[name], abs=0.05 if loose else 1e-6, nan_ok=True), name


def test_missing_labels_are_dropped_and_counted(mixture):
    X, pre, batch, label = mixture
    holes = label.copy()
    holes[::4] = None
    holes[1::40] = float("nan")
    has = np.array([isinstance(v, str) for v in holes])
    scored = IntegrationScorer(X, batch, holes, pre)
    values, full = scored.values(), IntegrationScorer(X, batch, label, pre).values()
    part = IntegrationScorer(X[has], batch[has], label[has], pre[has]).values()
    for name in ("pcr", "ilisi_knn", "ilisi_graph", "kbet50", "knn_overlap"):
        assert values[name] == full[name], name
    for name in ("nmi", "ari", "asw_label", "asw_batch", "gc_scib", "clisi_knn", "kbet_label", "bras", "cilisi"):
        assert values[name] == part[name], name
    assert scored.label_names == sorted(set(label))
    assert any(f"{(~has).sum()} of 240 cells have no label" in line for line in scored.findings)
    assert np.isnan(scored.units()["asw_label"]).sum() == (~has).sum()
    same(scored.replicate(np.ones(240, bool)), values)


def test_no_labels_at_all(mixture):
    X, pre, batch, _ = mixture
    values = IntegrationScorer(X, batch, [None] * 240, pre).values()
    assert np.isfinite(values["ilisi_knn"])
    assert np.isnan(values["nmi"])
    assert np.isnan(values["s_final"])


def test_one_batch(mixture):
    X, pre, _, label = mixture
    scored = IntegrationScorer(X, np.zeros(240, int), label, pre)
    values = scored.values()
    for name in ("asw_batch", "pcr", "ilisi_knn", "kbet50", "kbet_label", "bras", "cilisi"):
        assert np.isnan(values[name]), name
    assert np.isfinite(values["nmi"])
    assert scored.partial
    assert any("one batch only" in line for line in scored.findings)


def test_one_label(mixture):
    X, pre, batch, _ = mixture
    scored = IntegrationScorer(X, batch, ["a"] * 240, pre)
    assert np.isnan(scored.values()["asw_label"])
    assert np.isfinite(scored.values()["asw_batch"])
    assert any("fewer than two labels" in line for line in scored.findings)


def test_constant_embedding(mixture):
    _, pre, batch, label = mixture
    values = IntegrationScorer(np.full((240, 3), 0.1), batch, label, pre).values()
    assert values["asw_label"] == 0.5
    assert values["asw_batch"] == values["bras"] == 1
    assert np.isnan(values["pcr"])
    assert values["ari"] == pytest.approx(0, abs=0.1)


def test_label_oracle_is_near_one(mixture):
    _, pre, batch, label = mixture
    onehot = (label[:, None] == np.unique(label)).astype(float)
    noisy = onehot + np.random.default_rng(0).normal(size=onehot.shape) * 0.02
    values = IntegrationScorer(noisy, batch, label, pre).values()
    for name in ("nmi", "ari", "clisi_knn", "gc_scib"):
        assert values[name] > 0.95, name
    # Not 1: by chance the labels are not equally frequent in the batches.
    assert values["pcr"] > 0.9
    assert values["s_final"] > 0.9


def test_pcr_without_a_batch_effect_is_undefined(mixture):
    X, _, batch, label = mixture
    shuffled = np.random.default_rng(5).permutation(batch)
    pre = np.random.default_rng(6).normal(size=(240, 5))
    pre -= np.array([pre[shuffled == b].mean(axis=0) for b in "xyz"])[np.searchsorted(["x", "y", "z"], shuffled)]
    scored = IntegrationScorer(X, shuffled, label, pre)
    assert np.isnan(scored.values()["pcr"])
    assert scored.partial
    assert np.isfinite(scored.values()["s_final"])
    assert any("nothing to remove" in line for line in scored.findings)


def test_with_batches_equals_a_new_scorer(scorer, mixture):
    X, pre, batch, label = mixture
    other = np.random.default_rng(8).permutation(batch)
    same(scorer.with_batches(other).values(), IntegrationScorer(X, other, label, pre).values())
    same(scorer.values(), IntegrationScorer(X, batch, label, pre).values())


@pytest.mark.parametrize("rule", ["scib", "fixed"])
def test_other_cluster_rules(mixture, rule):
    X, pre, batch, label = mixture
    scored = IntegrationScorer(X, batch, label, pre, cluster_rule=rule)
    assert scored.values()["nmi"] > 0.6
    assert len(scored.clusterings.chosen) == (10 if rule == "fixed" else 1)


def test_isolated_label(mixture):
    X, pre, batch, label = mixture
    batch = np.where(label == "NK", "x", batch)
    scored = IntegrationScorer(X, batch, label, pre)
    values = scored.values()
    assert values["isolated_asw"] == pytest.approx(scored.units()["asw_label"][label == "NK"].mean())
    assert 0.5 < values["isolated_f1"] <= 1


def test_units_of_the_embedding_do_not_matter(scorer, mixture):
    X, pre, batch, label = mixture
    for factor in (1e120, 1e-120):
        same(IntegrationScorer(X * factor, batch, label, pre).values(), scorer.values(), 1e-4)


def test_few_cells_and_copies():
    rng = np.random.default_rng(9)
    few = IntegrationScorer(rng.normal(size=(30, 3)), np.arange(30) % 2, np.arange(30) % 3)
    assert few.values()["ilisi_graph"] > 0.5
    assert any("all 29 others" in line for line in few.findings)
    copies = np.repeat(rng.normal(size=(4, 3)), 50, axis=0)
    values = IntegrationScorer(copies, np.arange(200) % 3, np.repeat(np.arange(4), 50)).values()
    assert [values[name] for name in ("asw_label", "nmi", "clisi_knn")] == pytest.approx([1, 1, 1])
    assert values["ilisi_knn"] > 0.98


def test_wrong_input_is_refused(mixture):
    X, pre, batch, label = mixture
    with pytest.raises(ValueError, match="label has 239 entries"):
        IntegrationScorer(X, batch, label[:-1], pre)
    with pytest.raises(ValueError, match="missing, the first in row 2"):
        IntegrationScorer(X, [None if i == 2 else b for i, b in enumerate(batch)], label, pre)
    with pytest.raises(ValueError, match="unknown cluster rule 'kmeans'"):
        IntegrationScorer(X, batch, label, pre, cluster_rule="kmeans").values()


def test_a_sweep_in_other_processes_equals_one_here(mixture, monkeypatch):
    from sceval.metrics import clustering

    space = IntegrationScorer(mixture[0], mixture[2], mixture[3]).labelled
    codes = np.unique(mixture[3].astype(str), return_inverse=True)[1]
    here = clustering.Sweep("study", 240)
    here.feed(space.graph(15))
    monkeypatch.setattr(clustering, "_PARALLEL_FROM", 0)
    there = clustering.Sweep("study", 240)
    there.feed(space.graph(15))
    assert np.array_equal(here.result(codes).memberships, there.result(codes).memberships)
    left = clustering.Sweep("study", 240)
    children = [child for _, child in left._children]
    left.abandon()
    assert all(child.returncode is not None for child in children)


def test_scoring_loads_no_heavy_package():
    import subprocess
    import sys

    code = (
        "import sys, numpy as np; from sceval.metrics.integration import IntegrationScorer as S; "
        "import sceval.metrics.annotation, sceval.metrics.registry, sceval.metrics.resampling; "
        "r = np.random.default_rng(0); "
        "S(r.normal(size=(60, 3)), np.arange(60) % 2, np.arange(60) % 3, r.normal(size=(60, 4))).values(); "
        "bad = {'sklearn', 'scanpy', 'torch', 'numba', 'anndata', 'pandas', 'umap'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
