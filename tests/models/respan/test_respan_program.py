from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from helpers import make_view, reorder
from sceval.data.preprocess import log_cp10k
from sceval.models.respan.recipe import PARAMS, RECIPES, resolve

SMALL = {"epochs": 3, "batch_size": 64, "hidden": 16, "n_components": 5}


@pytest.fixture
def view():
    return make_view(n=50, g=30, task="batch_integration")


def test_gives_embedding_and_corrected_expression(call, view):
    done = call("respan", "integrate", view, SMALL)
    cells = done.cells
    assert cells.obsm["X_emb"].shape == (50, 5)
    corrected, before = cells.layers["corrected"], log_cp10k(view.X).toarray()
    assert cells.var_names.tolist() == view.var_names.tolist()
    order = done.facts["batch_order"]
    first, second = (view.obs["batch"] == name for name in order)
    np.testing.assert_allclose(corrected[first], before[first], atol=1e-5)
    assert np.abs(corrected[second] - before[second]).max() > 0.01
    assert corrected.min() >= 0
    assert done.facts["genes_corrected"] == 30


def test_same_seed_same_numbers_in_any_order(call, view):
    first = call("respan", "integrate", view, SMALL, seed=1).cells
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(50), rng.permutation(30)
    mixed = call("respan", "integrate", reorder(view, rows, columns), SMALL, seed=1).cells
    np.testing.assert_allclose(mixed.obsm["X_emb"], first.obsm["X_emb"][rows], atol=1e-4)
    np.testing.assert_allclose(mixed.layers["corrected"], first.layers["corrected"][rows][:, columns], atol=1e-4)
    other = call("respan", "integrate", view, SMALL, seed=2).cells.obsm["X_emb"]
    assert np.abs(other - first.obsm["X_emb"]).max() > 1e-3


def test_genes_outside_the_choice_keep_their_expression(call, view):
    done = call("respan", "integrate", view, SMALL | {"n_hvg": 12})
    changed = np.abs(done.cells.layers["corrected"] - log_cp10k(view.X).toarray()).max(axis=0) > 1e-5
    assert done.facts["genes_corrected"] == 12
    assert 0 < changed.sum() <= 12
    assert "12 of 30 genes were corrected" in " ".join(done.facts["warnings"])


def test_cell_without_counts_is_nan(call, view):
    dense = view.X.toarray()
    dense[7] = 0
    view.X = sparse.csr_matrix(dense)
    done = call("respan", "integrate", view, SMALL)
    assert np.flatnonzero(np.isnan(done.cells.obsm["X_emb"]).any(axis=1)).tolist() == [7]
    assert done.cells.layers["corrected"][7].max() == 0
    assert "1 cells have no count" in " ".join(done.facts["warnings"])


def test_without_batches_it_is_not_applicable(call, view):
    view.obs["batch"][:] = "one"
    assert "nothing to integrate" in call("respan", "integrate", view, SMALL).stderr
    del view.obs["batch"]
    done = call("respan", "integrate", view, SMALL)
    assert done.code == 99
    assert "no column `batch`" in done.stderr


def test_recipes_follow_the_device_and_give_way_to_parameters(call, view):
    given = {param.name: param.default for param in PARAMS}
    assert resolve(given, "cpu") == ("small", RECIPES["small"])
    assert resolve(given, "cuda") == ("official", RECIPES["official"])
    assert resolve(given | {"recipe": "official", "lr": 0.5}, "cpu")[1] == RECIPES["official"] | {"lr": 0.5}
    done = call("respan", "integrate", view, {"hidden": 4})
    assert done.code == 2
    assert "at least 8" in done.stderr
