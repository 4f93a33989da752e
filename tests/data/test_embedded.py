"""The embedded cells: recovered counts, and a planted batch effect that grows with its strength."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.data import embedded
from sceval.data.planted import DEPTH_FACTORS, PRIVATE_TYPE, SHARES, assign_batches, scale_counts
from sceval.data.preprocess import log_cp10k, pca
from sceval.metrics.coding import encode
from sceval.metrics.pcr import batch_effect


@pytest.fixture(scope="module")
def cells():
    return embedded.pbmc68k()


@pytest.fixture(scope="module")
def planted():
    return {strength: embedded.load(f"pbmc68k_planted_{strength:g}") for strength in embedded.STRENGTHS}


def test_the_cells_are_counts_with_lanes_and_types(cells):
    assert cells.X.shape == (700, 765)
    assert np.array_equal(cells.X.data, np.round(cells.X.data))
    assert cells.X.data.min() == 1
    assert np.array_equal(np.bincount(cells.X.nonzero()[0], minlength=700) > 0, np.ones(700, bool))
    assert sorted(set(cells.obs["batch"])) == [f"lane{i}" for i in range(1, 9)]
    types, n = np.unique(cells.obs["cell_type"].astype(str), return_counts=True)
    assert len(types) == 10
    assert sorted(n)[:3] == [8, 13, 19]  # the small types that the house rules name
    assert all(cells.obs["batch"][i] == f"lane{cells.obs_names[i][-1]}" for i in (0, 350, 699))
    assert "CD3D" in cells.var_names
    assert np.array_equal(cells.var["gene_symbol"], cells.var_names)


def test_counts_come_back_from_scaled_log_values():
    rng = np.random.default_rng(0)
    counts = sparse.csr_matrix(rng.poisson(1.5, (20, 30)) + np.eye(20, 30))
    counts[np.arange(20), np.arange(20)] = 1  # a count of 1 in each cell
    scaled = sparse.csr_matrix(sparse.diags(1e4 / np.asarray(counts.sum(axis=1)).ravel()) @ counts)
    scaled.data = np.log1p(scaled.data)
    assert np.array_equal(embedded.recover_counts(scaled).toarray(), counts.toarray())


@pytest.mark.parametrize(
    "values",
    [[[1.0, 1.3]], [[0.5, 1.1], [0.0, 0.0]], [[-1.0, 2.0]]],
    ids=["not multiples", "an empty cell", "a scaled matrix"],
)
def test_what_is_not_scaled_counts_is_refused(values):
    with pytest.raises(ValueError, match="not scaled counts"):
        embedded.recover_counts(sparse.csr_matrix(np.array(values)))


def test_an_explicit_zero_is_refused_and_not_divided_by():
    matrix = sparse.csr_matrix((np.array([0.0, 1.0]), np.array([0, 1]), np.array([0, 2])), (1, 2))
    with pytest.raises(ValueError, match="not scaled counts"):
        embedded.recover_counts(matrix)


def test_unknown_embedded_names_list_the_known_ones():
    with pytest.raises(KeyError, match="pbmc68k_planted_1"):
        embedded.load("pbmc3k")


def test_strengths_share_batches_and_differ_in_counts_alone(cells, planted):
    assert np.array_equal(planted[0.0].X.toarray(), cells.X.toarray())
    for other in planted.values():
        assert np.array_equal(other.obs["batch"], planted[0.0].obs["batch"])
        assert np.array_equal(other.obs["cell_type"], cells.obs["cell_type"])
        assert np.array_equal(other.obs_names, cells.obs_names)
        assert np.array_equal(other.X.data, np.round(other.X.data))
        assert other.X.data.min() >= 1
        assert np.asarray(other.X.sum(axis=1)).min() > 0
        assert not set(zip(*other.X.nonzero(), strict=True)) - set(zip(*cells.X.nonzero(), strict=True))
    assert not np.array_equal(planted[1.0].X.toarray(), planted[0.5].X.toarray())
    assert np.array_equal(embedded.load("pbmc68k_planted_1").X.toarray(), planted[1.0].X.toarray())


def test_batches_are_unbalanced_and_one_type_is_private(planted):
    batch, label = planted[1.0].obs["batch"], planted[1.0].obs["cell_type"]
    assert set(batch[label == PRIVATE_TYPE]) == {"b1"}
    rest = label != PRIVATE_TYPE
    shares = [np.mean(batch[rest] == name) for name in ("b1", "b2", "b3")]
    np.testing.assert_allclose(shares, SHARES, atol=0.01)
    for name in set(label[rest]):
        assert set(batch[label == name]) == {"b1", "b2", "b3"}, name


def test_the_effect_grows_and_is_seen_from_half_its_strength(planted):
    found = {}
    for strength, data in planted.items():
        found[strength] = batch_effect(pca(log_cp10k(data.X), 50)[0], encode(data.obs["batch"])[0])
    before = [found[strength][1] for strength in sorted(found)]
    assert before == sorted(before)
    assert before[3] > 5 * before[0]
    assert [found[strength][0] for strength in (0.5, 1.0)] == [True, True]


def test_depth_follows_its_factor(planted):
    depth = {s: np.asarray(data.X.sum(axis=1)).ravel() for s, data in planted.items()}
    gain = [np.sum(depth[1.0][planted[1.0].obs["batch"] == f"b{i}"]) for i in (1, 2, 3)]
    base = [np.sum(depth[0.0][planted[0.0].obs["batch"] == f"b{i}"]) for i in (1, 2, 3)]
    ratio = np.array(gain) / base
    # Genes move too, all batches alike on average, so only the order of the batches is sure.
    assert np.argsort(ratio).tolist() == np.argsort(DEPTH_FACTORS).tolist()


def test_scaled_counts_have_the_right_mean_and_keep_zeros():
    rng = np.random.default_rng(0)
    counts = np.array([0, 5, 5, 40])
    factors = np.array([3.0, 0.5, 1.0, 2.5])
    drawn = np.array([scale_counts(counts, factors, rng) for _ in range(4000)])
    np.testing.assert_allclose(drawn.mean(axis=0), counts * factors, rtol=0.02)
    assert (drawn[:, 0] == 0).all()
    assert (drawn[:, 2] == 5).all()  # a factor of 1 changes nothing
    assert drawn.dtype.kind == "i"


def test_batches_are_drawn_inside_each_type():
    labels = np.array(["a"] * 20 + ["b"] * 40 + [PRIVATE_TYPE] * 10, object)
    batches = assign_batches(labels, np.random.default_rng(1))
    assert [int(np.sum(batches[:20] == f"b{i}")) for i in (1, 2, 3)] == [11, 6, 3]
    assert [int(np.sum(batches[20:60] == f"b{i}")) for i in (1, 2, 3)] == [22, 12, 6]
    assert set(batches[60:]) == {"b1"}
