"""Random projection, linear SVM, perceptron and marker scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from helpers import make_view, reorder, true_types
from sceval.models.logreg.svm import temperature
from sceval.models.markers.table import cell_types, find, words

MLP = {"hidden": 16, "epochs": 25, "lr": 0.01, "dropout": 0.1}


def _accuracy(view, found):
    truth = dict(zip(view.obs_names, true_types(view.n_obs, 3), strict=True))
    return np.mean([truth[i] == p for i, p in zip(found.obs_names, found.obs["prediction"], strict=True)])


def test_random_projection_keeps_distances_and_minds_no_neighbor(call):
    view = make_view(n=40, g=60)
    X = call("random_projection", "embed-cells", view, {"width": 2000}).cells.obsm["X_emb"].astype(float)
    from sceval.data.preprocess import log_cp10k

    dense = log_cp10k(view.X).toarray()
    i, j = np.triu_indices(40, 1)
    ratio = np.linalg.norm(X[i] - X[j], axis=1) / np.linalg.norm(dense[i] - dense[j], axis=1)
    assert np.abs(ratio - 1).max() < 0.15
    rows, columns = np.arange(39, 9, -1), np.random.default_rng(0).permutation(60)
    part = call("random_projection", "embed-cells", reorder(view, rows, columns), {"width": 2000})
    np.testing.assert_allclose(part.cells.obsm["X_emb"], X[rows], atol=1e-4)
    other = call("random_projection", "embed-cells", view, {"width": 2000}, seed=1).cells.obsm["X_emb"]
    assert np.abs(other - X).max() > 0.1


def test_random_projection_of_an_empty_cell_is_nan(call):
    view = make_view(n=20)
    dense = view.X.toarray()
    dense[3] = 0
    view.X = sparse.csr_matrix(dense)
    done = call("random_projection", "embed-cells", view, {"normalize": False})
    assert np.flatnonzero(np.isnan(done.cells.obsm["X_emb"]).any(axis=1)).tolist() == [3]
    assert "1 cells have no count" in done.facts["warnings"][0]


@pytest.mark.parametrize(("model", "params"), [("logreg", {"classifier": "svm"}), ("mlp", MLP)])
def test_learns_planted_types_whatever_the_order(call, model, params):
    view = make_view(n=120)
    done = call(model, "annotate", view, params)
    assert _accuracy(view, done.cells) > 0.8
    rng = np.random.default_rng(0)
    mixed = call(model, "annotate", reorder(view, rng.permutation(120), rng.permutation(view.n_vars)), params).cells
    place = {name: row for row, name in enumerate(mixed.obs_names)}
    again = mixed.obsm["probability"][[place[name] for name in done.cells.obs_names]]
    np.testing.assert_allclose(again, done.cells.obsm["probability"], atol=1e-3)


@pytest.mark.parametrize(("model", "params"), [("logreg", {"classifier": "svm"}), ("mlp", {"epochs": 2, "hidden": 8})])
def test_two_classes_without_parts(call, model, params):
    view = make_view(n=60, types=2)
    view.obs.pop("part")
    found = call(model, "annotate", view, params).cells
    assert found.obsm["probability"].shape == (int(sum(label is None for label in view.obs["cell_type"])), 2)


def test_temperature_makes_sure_machines_surer():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 300)
    margins = rng.normal(size=(300, 3)) * 0.2
    margins[np.arange(300), codes] += 1.0
    noise = rng.normal(size=(300, 3))
    assert temperature(margins, codes) < 0.3
    assert temperature(noise, codes) > 3


def test_mlp_keeps_the_epoch_of_the_validation_part(call):
    facts = call("mlp", "annotate", make_view(n=60), MLP | {"epochs": 40, "patience": 3}).facts
    assert 1 <= facts["best_epoch"] <= facts["epochs_run"] <= 40
    assert facts["epochs_run"] - facts["best_epoch"] <= 3


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("CD14+ Monocyte", "classical monocyte"),
        ("FCGR3A+ Mono", "non-classical monocyte"),
        ("CD4+/CD25 T Reg", "regulatory T cell"),
        ("CD8+/CD45RA+ Naive Cytotoxic", "naive CD8 T cell"),
        ("CD4+/CD45RO+ Memory", "memory CD4 T cell"),
        ("CD19+ B", "B cell"),
        ("B cells", "B cell"),
        ("Plasmacytoid dendritic cells", "plasmacytoid dendritic cell"),
        ("Natural Killer", "NK cell"),
        ("astrocytes_ependymal", "astrocyte"),
        ("type0", None),
    ],
)
def test_labels_find_their_markers(label, name):
    found = find(label)
    assert (found.name if found else None) == name


def test_marker_table_is_sound():
    kinds = cell_types()
    assert len({kind.name for kind in kinds}) == len(kinds) > 50
    assert {len(set(kind.genes)) for kind in kinds} == {7}
    every = [name for kind in kinds for name in kind.names]
    assert len(set(every)) == len(every)  # no name leads to two types
    assert words("  CD14+ Monocytes ") == {"cd14", "monocyte"}


def _marker_view(labels=("B cell", "NK cell", "Mono")):
    """Cells that express the markers of their planted type."""
    view = make_view(n=60, g=40)
    genes = [gene for label in labels[:3] for gene in (find(label).genes if find(label) else ())]
    genes += [f"OTHER{i}" for i in range(40 - len(genes))]
    view.var["gene_symbol"] = np.array(genes, object)
    view.var["ensembl_id"] = np.full(40, "", object)
    kind = np.arange(60) % 3
    rate = np.full((60, 40), 0.3)
    for k, label in enumerate(labels):
        own = find(label).genes if find(label) else ()
        rate[np.ix_(kind == k, [genes.index(gene) for gene in own])] = 6
    view.X = sparse.csr_matrix(np.random.default_rng(0).poisson(rate).astype(np.float32))
    names = np.array(labels, object)[kind]
    view.obs["cell_type"] = np.where(view.obs["part"] == "test", None, names)
    return view, dict(zip(view.obs_names, names, strict=True))


def test_markers_label_cells_without_learning(call):
    view, truth = _marker_view()
    found = call("markers", "annotate", view).cells
    assert np.mean([truth[i] == p for i, p in zip(found.obs_names, found.obs["prediction"], strict=True)]) > 0.9
    known = np.flatnonzero(view.obs["part"] != "test")
    view.obs["cell_type"][known] = np.roll(view.obs["cell_type"][known], 1)  # wrong labels change nothing
    again = call("markers", "annotate", view).cells
    np.testing.assert_array_equal(found.obsm["probability"], again.obsm["probability"])


def test_types_without_markers_are_unassigned(call):
    view, truth = _marker_view(("B cell", "NK cell", "mystery"))
    done = call("markers", "annotate", view)
    found = dict(zip(done.cells.obs_names, done.cells.obs["prediction"], strict=True))
    mystery = [found[name] for name, label in truth.items() if label == "mystery" and name in found]
    assert set(found.values()) <= {"B cell", "NK cell", "unassigned"}
    assert mystery.count("unassigned") > 0.6 * len(mystery)
    assert "without markers: mystery" in " ".join(done.facts["warnings"])


def test_without_a_known_label_markers_are_not_applicable(call):
    done = call("markers", "annotate", make_view(n=60))
    assert done.code == 99
    assert "no label has known markers: type0" in done.stderr
    view, _ = _marker_view()
    view.var["gene_symbol"] = np.array([f"GENE{i}" for i in range(40)], object)
    assert call("markers", "annotate", view).code == 99
