"""scVI and scANVI with few epochs: contract, invariance, what is seen and what is not. One file: the import costs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from helpers import make_view, reorder, true_types
from sceval import contract
from sceval.models.request import NotApplicable, Request
from sceval.models.scvi.fit import epochs_for, fitting_size, held_out

TINY = {"max_epochs": 2, "n_hidden": 16, "n_latent": 4, "n_layers": 1, "batch_size": 32}


def _view(task="batch_integration", n=60, **options):
    return make_view(n=n, g=24, task=task, **options)


def _mixed(view):
    rng = np.random.default_rng(3)
    return reorder(view, rng.permutation(view.n_obs), rng.permutation(view.n_vars))


def _by_id(cells, values):
    return values[np.argsort(cells.obs_names.astype(str))]


@cache
def _types(n=60):
    return true_types(n, 3)


def test_embedding_does_not_depend_on_the_order_of_the_file(call):
    view = _view()
    first = call("scvi", "integrate", view, TINY)
    second = call("scvi", "integrate", _mixed(view), TINY)
    assert first.code == second.code == 0
    one, two = (_by_id(c.cells, c.cells.obsm["X_emb"]) for c in (first, second))
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert one.shape == (60, 4)
    assert one.std(axis=0).min() > 0
    assert first.facts["scvi_epochs"] == 2
    # Genes are few enough to be modelled all, so there is corrected expression; it names them in the view's order.
    genes = np.argsort(second.cells.var_names.astype(str))
    fixed = [_by_id(c.cells, c.cells.layers["corrected"]) for c in (first, second)]
    np.testing.assert_allclose(fixed[0], fixed[1][:, genes], rtol=1e-4)


def test_another_seed_gives_other_numbers_and_nothing_is_left_behind(call, tmp_path, monkeypatch, capfd):
    (tmp_path / "task").mkdir()
    monkeypatch.chdir(tmp_path / "task")
    one, two = (call("scvi", "integrate", _view(), TINY | {"n_hvg": 10}, seed=seed).cells for seed in (0, 1))
    assert np.abs(one.obsm["X_emb"] - two.obsm["X_emb"]).max() > 1e-3
    assert "corrected" not in one.layers
    assert list(Path.cwd().iterdir()) == []
    assert capfd.readouterr().out == ""


def test_a_cell_without_counts_is_a_row_of_nan(call):
    view = _view()
    dense = view.X.toarray()
    dense[7] = 0
    view.X = sparse.csr_matrix(dense)
    done = call("scvi", "integrate", view, TINY)
    bad = np.isnan(done.cells.obsm["X_emb"]).all(axis=1)
    assert list(done.cells.obs_names[bad]) == [view.obs_names[7]]
    assert not np.isnan(done.cells.obsm["X_emb"][~bad]).any()
    assert "1 cells have no count" in done.facts["warnings"][0]


def test_imputed_counts_keep_the_depth_of_each_cell_and_follow_its_genes(call):
    view = _view()
    done = call("scvi", "impute", view, TINY | {"max_epochs": 20, "lr": 0.02})
    assert done.code == 0, done.stderr
    cells = contract.read("imputed", done.output)
    counts = view.X.toarray()
    np.testing.assert_allclose(cells.X.sum(axis=1), counts.sum(axis=1), rtol=1e-4)
    flat = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    # Markers of the planted types are found: closer to the counts than depth times mean.
    assert np.mean((cells.X - counts) ** 2) < 0.9 * np.mean((flat - counts) ** 2)


def test_impute_refuses_spots(call):
    view = _view()
    view.obs["modality"] = np.where(np.arange(60) < 30, "spatial", "single_cell").astype(object)
    done = call("scvi", "impute", view, TINY)
    assert done.code == 99
    assert "spots" in done.stderr


def test_new_cells_are_those_asked_for_and_look_like_their_type(call):
    view = _view()
    view.obs["cell_type"] = _types()
    view.uns["simulation"] = {
        "cell_type": np.array(["type0", "type2"], object),
        "batch": np.array(["batch1", "batch0"], object),
        "n": np.array([30, 20]),
    }
    done = call("scvi", "simulate", view, TINY | {"max_epochs": 20, "lr": 0.02})
    assert done.code == 0, done.stderr
    new = contract.read("simulated", done.output)
    assert list(new.obs["cell_type"]) == ["type0"] * 30 + ["type2"] * 20
    assert list(new.obs["batch"]) == ["batch1"] * 30 + ["batch0"] * 20
    mean = np.asarray(new.X[:30].mean(axis=0)).ravel()
    real = {kind: np.asarray(view.X[_types() == kind].mean(axis=0)).ravel() for kind in ("type0", "type2")}
    assert np.corrcoef(mean, real["type0"])[0, 1] > np.corrcoef(mean, real["type2"])[0, 1] + 0.1
    view.uns["simulation"]["cell_type"][0] = "type9"
    assert "type9" in call("scvi", "simulate", view, TINY).stderr


@pytest.mark.parametrize("model", ["scvi", "scanvi"])
def test_one_batch_is_not_applicable(call, model):
    done = call(model, "integrate", _view(batches=1), TINY)
    assert done.code == 99
    assert "nothing to integrate" in done.stderr


def test_scanvi_integrates_by_the_labels_that_the_view_shows(call):
    view = _view()
    assert call("scanvi", "integrate", view, TINY).code == 99
    view.obs["cell_type"] = np.where(np.arange(60) % 4 == 0, None, _types())
    params = TINY | {"scanvi_epochs": 15, "lr": 0.01}
    done = call("scanvi", "integrate", view, params)
    assert done.code == 0, done.stderr
    assert done.facts["labelled_cells"] == 45
    X = done.cells.obsm["X_emb"]
    hidden = np.arange(60) % 4 == 0
    centers = np.array([X[~hidden & (_types() == kind)].mean(axis=0) for kind in ("type0", "type1", "type2")])
    nearest = np.linalg.norm(X[hidden, None] - centers, axis=2).argmin(axis=1)
    assert np.mean(nearest == np.arange(60)[hidden] % 3) > 0.8


def test_scanvi_labels_query_cells_that_it_has_not_seen(call):
    view = _view("cell_type_annotation")
    truth = dict(zip(view.obs_names, _types(), strict=True))
    params = TINY | {"scanvi_epochs": 15, "lr": 0.01, "max_epochs": 10}
    first = call("scanvi", "annotate", view, params)
    assert first.code == 0, first.stderr
    right = [truth[i] == p for i, p in zip(first.cells.obs_names, first.cells.obs["prediction"], strict=True)]
    assert np.mean(right) > 0.8
    # Neither the counts of one query cell nor the name of its batch changes what the others get.
    test = np.flatnonzero(view.obs["part"] == "test")
    dense = view.X.toarray()
    dense[test[0]] = 50 * np.random.default_rng(1).poisson(3, view.n_vars)
    dense[test[1]] = 0
    view.X = sparse.csr_matrix(dense)
    view.obs["batch"][test] = "a batch of its own"
    second = call("scanvi", "annotate", view, params)
    np.testing.assert_allclose(second.cells.obsm["probability"][2:], first.cells.obsm["probability"][2:], atol=1e-5)
    known = np.isin(view.obs["part"], ["train", "validation"])
    shares = [np.mean(_types()[known] == kind) for kind in ("type0", "type1", "type2")]
    np.testing.assert_allclose(second.cells.obsm["probability"][1], shares, atol=1e-6)


def test_mini_batches_leave_no_rest_of_one_or_two():
    assert fitting_size(128, [128]) == 128
    assert fitting_size(128, [129]) == 126
    assert fitting_size(128, [700, 257]) == 127
    assert fitting_size(5, [3]) == 5
    with pytest.raises(NotApplicable, match="at least 3"):
        fitting_size(128, [50, 2])


def test_epochs_are_those_of_the_package():
    from scvi.model._utils import get_max_epochs_heuristic

    for n in (100, 20_000, 33_333, 1_000_000):
        assert epochs_for(n, 400) == get_max_epochs_heuristic(n)


def test_the_validation_part_of_the_view_chooses_the_epoch():
    view = _view("cell_type_annotation")
    request = Request(view, "scratch", {}, 0, "cpu")
    rows = np.flatnonzero(view.obs["part"] != "test")
    train, held = held_out(request, rows, None)
    assert set(view.obs["part"][rows[held]]) == {"validation"}
    assert set(view.obs["part"][rows[train]]) == {"train"}
    train, held = held_out(Request(_view(), "scratch", {}, 0, "cpu"), np.arange(60), _types())
    assert sorted(np.concatenate([train, held])) == list(range(60))
    assert len(held) == 6
