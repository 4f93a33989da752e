from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from helpers import make_view, true_types
from sceval.models.celltypist.program import shares


def _accuracy(cells, view):
    truth = dict(zip(view.obs_names, true_types(view.n_obs, 3), strict=True))
    return np.mean([truth[i] == p for i, p in zip(cells.obs_names, cells.obs["prediction"], strict=True)])


def test_one_against_rest_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    from sceval.models.celltypist.classifier import OneAgainstRest

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 5)), rng.choice(["a", "b", "c"], 80)
    ours = OneAgainstRest(multi_class="ovr", C=0.5).fit(X, y)
    theirs = OneVsRestClassifier(LogisticRegression(C=0.5)).fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-10)
    np.testing.assert_allclose(shares(ours.decision_function(X)), theirs.predict_proba(X), atol=1e-10)
    two = OneAgainstRest(C=0.5).fit(X, y == "a")
    plain = LogisticRegression(C=0.5).fit(X, y == "a")
    np.testing.assert_allclose(two.coef_, plain.coef_)


def test_shares_by_hand_and_far_away():
    np.testing.assert_allclose(shares(np.array([[0.0, 0.0]])), [[0.5, 0.5]])
    one = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(shares(np.array([[1.0, 0.0]])), [[one / (one + 0.5), 0.5 / (one + 0.5)]])
    np.testing.assert_allclose(shares(np.array([[-2000.0, -2001.0]])), [[1 / (1 + np.exp(-1)), 1 / (1 + np.e)]])


@pytest.mark.parametrize("params", [{}, {"use_SGD": True}, {"feature_selection": True, "top_genes": 5}])
def test_query_cells_are_labelled(call, params, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    view = make_view(n=80)
    done = call("celltypist", "annotate", view, params)
    assert done.code == 0, done.stderr
    assert _accuracy(done.cells, view) > 0.8
    if params.get("feature_selection"):
        assert 5 <= done.facts["genes_used"] <= 15
    else:
        assert done.facts["genes_used"] == view.n_vars
    assert not Path(tmp_path, ".celltypist").exists()
    assert capfd.readouterr().out == ""


def test_two_classes(call):
    view = make_view(n=60, types=2)
    probability = call("celltypist", "annotate", view).cells.obsm["probability"]
    assert probability.shape[1] == 2
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_no_query_cell_changes_another(call):
    view = make_view(n=80)
    before = call("celltypist", "annotate", view).cells.obsm["probability"]
    test = np.flatnonzero(view.obs["part"] == "test")
    dense = view.X.toarray()
    dense[test[0]] = 50 * np.random.default_rng(1).poisson(3, view.n_vars)
    dense[test[1]] = 0
    view.X = sparse.csr_matrix(dense)
    after = call("celltypist", "annotate", view).cells.obsm["probability"]
    np.testing.assert_allclose(after[2:], before[2:], atol=1e-9)
    assert np.isfinite(after).all()


def test_more_top_genes_than_genes_is_not_applicable(call):
    done = call("celltypist", "annotate", make_view(n=60), {"feature_selection": True})
    assert done.code == 99
    assert "top_genes = 300" in done.stderr


def test_an_early_end_is_told(call):
    assert "max_iter = 1" in call("celltypist", "annotate", make_view(n=60), {"max_iter": 1}).facts["warnings"][0]
