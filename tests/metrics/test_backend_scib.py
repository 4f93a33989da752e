"""The two backends side by side on real cells. Needs scib and scanpy (extra `scib`)."""

from __future__ import annotations

import numpy as np
import pytest

from sceval.metrics.integration import IDS, IntegrationScorer

#: How far the two may be apart: equal definitions to rounding, graph LISI to a near-tie at the 90th cell, clusterings
#: to the difference of two runs of Leiden.
TOLERANCE = {
    "asw_label": 1e-5, "asw_batch": 1e-5, "isolated_asw": 1e-5, "pcr": 1e-3, "gc_scib": 1e-9, "ilisi_graph": 1e-3,
    "clisi_graph": 1e-3, "nmi": 0.05, "ari": 0.15, "isolated_f1": 0.15, "s_bio": 0.07, "s_batch": 1e-3, "s_final": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def real_cells():
    import scanpy

    cells = scanpy.datasets.pbmc68k_reduced()
    rng = np.random.default_rng(0)
    X, label = (
        np.asarray(cells.obsm["X_pca"][:, :30], dtype=np.float32),
        cells.obs["bulk_labels"].astype(str).to_numpy(),
    )
    batch = rng.integers(0, 3, len(X))
    # One type in one batch only, so that isolated labels exist.
    batch[label == "Dendritic"] = 1
    pre = X + (rng.normal(size=(3, 30)) * X.std(axis=0))[batch].astype(np.float32)
    return 0.7 * X + 0.3 * pre, np.array(["x", "y", "z"])[batch], label, pre


@pytest.fixture(scope="module")
def both(real_cells):
    from sceval.metrics.backend_scib import scib_values

    X, batch, label, pre = real_cells
    return IntegrationScorer(X, batch, label, pre, cluster_rule="scib").values(), scib_values(X, batch, label, pre)


def test_side_by_side(both):
    ours, scib = both
    assert tuple(scib.values) == IDS
    for name, tolerance in TOLERANCE.items():
        if name in scib.left_out:
            continue
        assert ours[name] == pytest.approx(scib.values[name], abs=tolerance), name


def test_what_is_left_out_is_named(both):
    _, scib = both
    assert {"bras", "kbet_label", "kbet50", "cilisi"} <= set(scib.left_out)
    for name in IDS:
        assert np.isnan(scib.values[name]) == (name in scib.left_out), name
    assert any("bras left out" in line for line in scib.findings)


def test_graph_lisi_of_every_cell_on_the_same_graph(real_cells):
    import scanpy
    from scib.metrics.lisi import lisi_graph_py

    from sceval.metrics import backend_scib, graph, lisi

    X, batch, label, _ = real_cells
    codes = np.unique(batch, return_inverse=True)[1]
    data = backend_scib._data(X, codes, np.unique(label, return_inverse=True)[1])
    scanpy.pp.neighbors(data, use_rep="X_emb")
    indices, distances = graph.path_neighbors(data.obsp["connectivities"].tocsr(), 90)
    found = lisi.lisi(lisi.neighbor_probabilities(distances, 30), codes[indices], 3)
    if not backend_scib.lisi_helper():
        assert np.abs(found - lisi_graph_py(data, "batch")).max() < 1e-3
    own = graph.connectivities(*IntegrationScorer(X, batch, label).all.nearest(np.ones(len(X), bool), 15))
    assert np.abs(own - data.obsp["connectivities"]).max() < 1e-4


def test_no_batch_effect_and_missing_labels(real_cells):
    from sceval.metrics.backend_scib import scib_values

    X, _, label, _ = real_cells
    rows = np.arange(0, 700, 3)
    batch = np.random.default_rng(11).integers(0, 2, len(rows))
    base = np.random.default_rng(3).normal(size=(len(rows), 4))
    base -= np.array([base[batch == b].mean(axis=0) for b in (0, 1)])[batch]
    holes = label[rows].astype(object)
    holes[:20] = None
    found = scib_values(X[rows], batch, holes, base)
    assert np.isnan(found.values["pcr"])
    assert any("nothing to remove" in line for line in found.findings)
    assert any("20 of" in line for line in found.findings)
    assert found.values["asw_label"] == pytest.approx(
        IntegrationScorer(X[rows], batch, holes, base).values()["asw_label"], abs=1e-5
    )
