from __future__ import annotations

import sys

import numpy as np

from helpers import make_view, reorder
from sceval.data.embedded import load
from sceval.models.knn.vote import nearest


def _same_batch(X, batch):
    codes = np.unique(batch.astype(str), return_inverse=True)[1]
    positions, _ = nearest(X.astype(float), X.astype(float), 16)
    return np.mean(codes[positions] == codes[:, None])


def test_planted_batches_that_pca_keeps_apart_are_mixed(call):
    view = load("pbmc68k_planted_1")
    view.obs.pop("cell_type")
    view.uns["sceval"] = make_view(n=20, task="batch_integration").uns["sceval"]
    before = call("pca", "embed-cells", view).cells.obsm["X_emb"]
    done = call("scanorama", "integrate", view)
    assert done.code == 0, done.stderr
    assert done.facts["warnings"] == []
    assert _same_batch(done.cells.obsm["X_emb"], view.obs["batch"]) < _same_batch(before, view.obs["batch"]) - 0.3
    assert done.cells.layers["corrected"].shape == view.X.shape
    assert "annoy" not in sys.modules or sys.modules["annoy"].AnnoyIndex is None


def test_the_order_of_the_file_changes_nothing(call):
    view = make_view(n=60, g=30, batches=3, task="batch_integration")
    rng = np.random.default_rng(3)
    mixed = reorder(view, rng.permutation(60), rng.permutation(30))
    first, second = (call("scanorama", "integrate", cells, {"n_components": 10}).cells for cells in (view, mixed))
    one, two = (np.argsort(cells.obs_names.astype(str)) for cells in (first, second))
    np.testing.assert_allclose(first.obsm["X_emb"][one], second.obsm["X_emb"][two], atol=1e-5)
    genes = [np.argsort(cells.var_names.astype(str)) for cells in (first, second)]
    np.testing.assert_allclose(
        first.layers["corrected"][one][:, genes[0]], second.layers["corrected"][two][:, genes[1]], atol=1e-5
    )


def test_a_small_batch_limits_the_neighbors_and_is_told(call):
    view = make_view(n=60, g=30, batches=1, task="batch_integration")
    view.obs["batch"][:4] = "small"
    done = call("scanorama", "integrate", view, {"n_components": 5, "corrected": False})
    assert done.code == 0, done.stderr
    assert "knn is 4 instead of 20" in done.facts["warnings"][0]
    assert "corrected" not in done.cells.layers
    assert np.isfinite(done.cells.obsm["X_emb"]).all()
    # Beside two large batches a small one limits nothing, wherever its name puts it.
    for name in ("a small one", "batch0 small", "small"):
        view = make_view(n=60, g=30, batches=2, task="batch_integration")
        view.obs["batch"][:4] = name
        done = call("scanorama", "integrate", view, {"n_components": 5, "corrected": False})
        assert done.code == 0, done.stderr
        assert done.facts["warnings"] == []


def test_batches_without_a_counterpart_are_named(call):
    view = make_view(n=60, g=30, batches=2, task="batch_integration")
    done = call("scanorama", "integrate", view, {"n_components": 5, "alpha": 1.0})
    assert done.facts["alignments"] == 0
    assert "batch0, batch1" in done.facts["warnings"][-1]


def test_one_batch_is_not_applicable(call):
    done = call("scanorama", "integrate", make_view(n=30, batches=1, task="batch_integration"))
    assert done.code == 99
    assert "nothing to integrate" in done.stderr
