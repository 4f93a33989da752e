from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from helpers import make_view, reorder
from sceval.data import splits
from sceval.data.embedded import load, pbmc68k
from sceval.data.preprocess import log_cp10k
from sceval.models.knn.vote import nearest, shares
from sceval.models.pca.program import embed_cells
from sceval.models.request import Request


def _accuracy(cells, truth):
    return np.mean([truth[i] == p for i, p in zip(cells.obs_names, cells.obs["prediction"], strict=True)])


@pytest.fixture(scope="module")
def real():
    """The embedded cells as an annotation view, and the true label of every cell."""
    cells = pbmc68k()
    truth = dict(zip(cells.obs_names, cells.obs["cell_type"], strict=True))
    part = splits.intra(cells.obs["cell_type"], 0)
    cells.obs["part"] = part
    cells.obs["cell_type"] = np.where(part == "test", None, cells.obs["cell_type"])
    cells.uns["sceval"] = make_view(n=20).uns["sceval"]
    return cells, truth


def test_on_real_cells_the_baselines_beat_the_controls(call, real):
    view, truth = real
    found = {
        name: _accuracy(call(model, "annotate", view, params).cells, truth)
        for name, model, params in [
            ("logreg", "logreg", {}),
            ("knn", "knn", {}),
            ("log_total", "controls", {"control": "log_total"}),
            ("majority", "controls", {"control": "majority"}),
        ]
    }
    assert found["logreg"] > found["log_total"] + 0.2
    assert found["knn"] > found["log_total"] + 0.2
    assert found["log_total"] > found["majority"]


def test_harmony_mixes_planted_batches_that_pca_keeps_apart(call):
    view = load("pbmc68k_planted_1")
    view.obs.pop("cell_type")
    view.uns["sceval"] = make_view(n=20, task="batch_integration").uns["sceval"]
    codes = np.unique(view.obs["batch"].astype(str), return_inverse=True)[1]

    def same_batch(X):
        positions, _ = nearest(X, X, 16)
        return np.mean(codes[positions] == codes[:, None])

    before = same_batch(call("pca", "embed-cells", view).cells.obsm["X_emb"].astype(float))
    after = same_batch(call("harmony", "integrate", view).cells.obsm["X_emb"].astype(float))
    assert after < before - 0.05


def test_pca_is_that_of_scaled_logarithms_where_all_genes_are_used():
    view = make_view(n=50, g=20)
    out = embed_cells(Request(view, "scratch", {"n_hvg": 1000, "n_components": 3}, 0, "cpu")).X
    dense = log_cp10k(view.X).toarray()
    left, singular, _ = np.linalg.svd(dense - dense.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(out), np.abs(left[:, :3] * singular[:3]), atol=1e-8)


def test_nearest_equals_the_sorted_distances():
    rng = np.random.default_rng(0)
    reference, query = rng.normal(size=(700, 5)), rng.normal(size=(600, 5))
    reference[10] = query[3]
    positions, distances = nearest(reference, query, 4)
    every = np.linalg.norm(query[:, None] - reference[None], axis=2)
    np.testing.assert_allclose(np.sort(distances), np.sort(every)[:, :4], atol=1e-12)
    np.testing.assert_allclose(distances, np.take_along_axis(every, positions, axis=1), atol=1e-12)
    assert distances[3].min() == 0


def test_shares_by_hand():
    codes = np.array([[0, 0, 1]])
    distances = np.array([[1.0, 2.0, 4.0]])
    prior = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(shares(codes, distances, prior, "uniform"), [[2.5 / 4, 1.25 / 4, 0.25 / 4]])
    vote = np.array([1.5, 0.25, 0]) * 3 / 1.75
    np.testing.assert_allclose(shares(codes, distances, prior, "distance"), [(vote + prior) / 4])
    at_zero = shares(codes, np.array([[0.0, 1.0, 2.0]]), prior, "distance")
    np.testing.assert_allclose(at_zero, [[3.5 / 4, 0.25 / 4, 0.25 / 4]])


def test_nothing_is_fitted_on_test_cells(call):
    """A test cell with wild counts changes no prediction of another test cell."""
    view = make_view(n=80)
    test = np.flatnonzero(view.obs["part"] == "test")
    plain = {m: call(m, "annotate", view).cells.obsm["probability"] for m in ("knn", "logreg")}
    other = reorder(view, np.arange(view.n_obs))
    dense = other.X.toarray()
    dense[test[0]] = 50 * np.random.default_rng(1).poisson(3, view.n_vars)
    other.X = sparse.csr_matrix(dense)
    for model, before in plain.items():
        np.testing.assert_allclose(call(model, "annotate", other).cells.obsm["probability"][1:], before[1:], atol=1e-9)
