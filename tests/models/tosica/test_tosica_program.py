from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from helpers import make_view, reorder, true_types
from sceval.models.tosica.recipe import PARAMS, RECIPES, resolve

SMALL = {
    "width": 8,
    "n_heads": 2,
    "epochs": 15,
    "batch_size": 16,
    "lr": 0.02,
    "optimizer": "adamw",
    "dropout": 0.0,
    "n_hvg": 40,
}


@pytest.fixture
def params(tmp_path):
    """Small settings and gene sets that follow the planted markers."""
    lines = [f"SET{k}\tplanted\t" + "\t".join(f"GENE{i}" for i in range(k, 40, 3)) for k in range(3)]
    (tmp_path / "sets.gmt").write_text("\n".join(lines) + "\n")
    return SMALL | {"gene_sets": str(tmp_path / "sets.gmt")}


def _accuracy(view, found):
    truth = dict(zip(view.obs_names, true_types(view.n_obs, 3), strict=True))
    return np.mean([truth[i] == p for i, p in zip(found.obs_names, found.obs["prediction"], strict=True)])


def test_learns_and_tells_attention(call, params):
    view = make_view(n=90)
    done = call("tosica", "annotate", view, params)
    assert _accuracy(view, done.cells) > 0.8
    assert done.facts["pathways"] == 3
    table = pd.read_parquet(done.output.with_name("attention.parquet"))
    assert set(table["token"]) == {"SET0", "SET1", "SET2"}
    assert set(table["unit"]) == set(done.cells.obs["prediction"])
    assert table["weight"].between(0, 1).all()


def test_same_seed_same_numbers_in_any_order(call, params):
    view = make_view(n=60)
    quick = params | {"epochs": 2, "dropout": 0.3}
    first = call("tosica", "annotate", view, quick, seed=3).cells
    rng = np.random.default_rng(0)
    mixed = call(
        "tosica", "annotate", reorder(view, rng.permutation(60), rng.permutation(view.n_vars)), quick, seed=3
    ).cells
    place = {name: row for row, name in enumerate(mixed.obs_names)}
    again = mixed.obsm["probability"][[place[name] for name in first.obs_names]]
    np.testing.assert_allclose(again, first.obsm["probability"], atol=1e-5)
    other = call("tosica", "annotate", view, quick, seed=4).cells.obsm["probability"]
    assert np.abs(other - first.obsm["probability"]).max() > 1e-4


def test_official_switches_run(call, params):
    quick = params | {"epochs": 1, "token_layout": "official", "split": "official"}
    assert call("tosica", "annotate", make_view(n=60), quick).facts["best_epoch"] == 0


def test_cell_without_counts_is_unassigned(call, params):
    view = make_view(n=60)
    row = np.flatnonzero(view.obs["part"] == "test")[0]
    dense = view.X.toarray()
    dense[row] = 0
    view.X = sparse.csr_matrix(dense)
    done = call("tosica", "annotate", view, params | {"epochs": 1})
    found = dict(zip(done.cells.obs_names, done.cells.obs["prediction"], strict=True))
    assert found[view.obs_names[row]] == "unassigned"
    assert "no count" in " ".join(done.facts["warnings"])


def test_high_cutoff_leaves_cells_unassigned(call, params):
    done = call("tosica", "annotate", make_view(n=60), params | {"epochs": 1, "lr": 1e-6, "unknown_cutoff": 0.9})
    assert set(done.cells.obs["prediction"]) == {"unassigned"}


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"gene_sets": "nowhere.gmt"}, 2, "nowhere.gmt: cannot be read"),
        ({"gene_sets": "hallmark"}, 99, "knows none of the 40 genes"),
        ({"n_heads": 3}, 2, "not divisible"),
    ],
)
def test_what_cannot_be_done_is_told(call, params, change, code, text):
    done = call("tosica", "annotate", make_view(n=60), params | change)
    assert done.code == code
    assert text in done.stderr
    assert not done.output.exists()


def test_sets_that_are_too_small_are_told(call, params, tmp_path):
    (tmp_path / "small.gmt").write_text("A\tx\tGENE1\tGENE2\tGENE3\tGENE4\n")
    done = call("tosica", "annotate", make_view(n=60), params | {"gene_sets": str(tmp_path / "small.gmt")})
    assert done.code == 99
    assert "none of 1 gene sets has 5 of the 40 variable genes" in done.stderr


def test_recipes_follow_the_number_of_cells_and_give_way_to_parameters():
    given = {param.name: param.default for param in PARAMS}
    assert resolve(given, 9_999) == ("small", RECIPES["small"])
    assert resolve(given, 10_000) == ("official", RECIPES["official"])
    assert resolve(given | {"recipe": "official", "dropout": 0.0, "patience": 0}, 5)[1] == RECIPES["official"] | {
        "dropout": 0.0
    }
