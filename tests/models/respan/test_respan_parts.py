from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.respan.correct import Settings, correct, find_pairs
from sceval.models.respan.gan import Gan, GanSettings, train
from sceval.models.respan.network import Critic, Generator, Mish
from sceval.models.respan.pairs import Partners, filter_pairs, mutual_neighbors, subsample, walk
from sceval.models.respan.reduction import REDUCTIONS, correlation_space, principal_axes, reduce, standardize
from sceval.training.loop import TrainingError

QUICK = GanSettings(epochs=2, batch_size=32)


def planted(n=40, g=12, seed=0):
    """Two batches of two types, the second shifted."""
    rng = np.random.default_rng(seed)
    kind, batch = np.arange(n) % 2, np.where(np.arange(n) < n // 2, "a", "b")
    X = rng.gamma(2.0, 0.5, (n, g)) + 2.0 * (np.arange(g)[None, :] % 2 == kind[:, None])
    X[batch == "a"] *= 1.5  # the more varied one comes first
    X[batch == "b"] += np.linspace(0, 4, g)
    return X.astype(np.float32), batch, kind


def test_mutual_neighbors_equal_the_sorted_distances():
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(30, 4)), rng.normal(size=(25, 4))
    unit = [A / np.linalg.norm(A, axis=1, keepdims=True) for A in (X, Y)]
    distance = np.linalg.norm(unit[0][:, None] - unit[1][None], axis=2)
    near = np.argsort(np.argsort(distance, axis=1), axis=1) < 3
    near &= np.argsort(np.argsort(distance, axis=0), axis=0) < 3
    np.testing.assert_array_equal(mutual_neighbors(X, Y, 3), np.argwhere(near))


def test_a_walk_stays_among_partners_and_starts_at_its_pair():
    X, batch, _ = planted()
    left, right = X[batch == "a"], X[batch == "b"]
    cross = mutual_neighbors(left, right, 2)
    partners = Partners.of(left, 3), Partners.of(right, 3)
    pairs = walk(cross, *partners, np.random.RandomState(0), length=7).reshape(len(cross), 7, 2)
    np.testing.assert_array_equal(pairs[:, 0], cross)
    for end, own in enumerate(partners):
        for before, after in zip(pairs[:, :-1, end].ravel(), pairs[:, 1:, end].ravel(), strict=True):
            assert after in own.cells[own.start[before] : own.start[before + 1]]


def test_equal_cells_are_their_own_partners():
    partners = Partners.of(np.ones((4, 3)), 1)
    assert np.diff(partners.start).min() == 1


def test_filter_and_subsample():
    pairs = np.array([[0, 0], [2, 0], [1, 1]])
    reference, query = np.array([[1.0, 0], [0.7, 0.7], [0, 1]]), np.array([[1, 0.1], [0.6, 0.7]])
    assert filter_pairs(pairs, reference, query, 1).tolist() == [[0, 0], [1, 1]]
    assert [len(rows) for rows in subsample(9, 4, 9, np.random.RandomState(0))] == [9, 4]
    rows = subsample(9, 4, 5, np.random.RandomState(0))
    assert [len(set(part)) for part in rows] == [5, 4]


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_principal_axes_are_those_of_the_svd(shape):
    X = np.random.default_rng(0).normal(size=shape)
    scores, loadings = principal_axes(X, 3)
    u, s, vt = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(scores), np.abs(u[:, :3] * s[:3]), atol=1e-8)
    np.testing.assert_allclose(np.abs(loadings), np.abs(vt[:3].T), atol=1e-8)


def test_kernel_pca_is_that_of_scikit_learn():
    from sklearn.decomposition import KernelPCA

    X, batch, _ = planted()
    left, right = X[batch == "a"].astype(float), X[batch == "b"].astype(float)
    found = np.concatenate(reduce(left, right, "kpca", 4))
    both = standardize(np.concatenate([left, right]))
    np.testing.assert_allclose(np.abs(found), np.abs(KernelPCA(4, kernel="cosine").fit_transform(both)), atol=1e-7)


def test_few_cells_take_the_whole_decomposition():
    rng = np.random.default_rng(0)
    left, right = correlation_space(rng.random((30, 9)), rng.random((6, 9)), 20)
    assert (left.shape[1], right.shape[1]) == (6, 6)
    with pytest.raises(ValueError, match="unknown reduction 'tsne'"):
        reduce(np.ones((3, 3)), np.ones((3, 3)), "tsne")


def test_mish_of_the_critic_is_torchs_and_has_a_second_derivative_everywhere():
    x = torch.tensor([-300.0, -20.0, -1.0, 0.0, 3.0, 39.0, 41.0, 95.0, 1e4], requires_grad=True)
    (slope,) = torch.autograd.grad(Mish()(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    assert torch.equal(Mish()(x), torch.nn.functional.mish(x))
    assert torch.isfinite(second).all()
    assert second[4].abs() > 0


def test_generator_moves_at_every_tenth_step_only():
    torch.manual_seed(0)
    gan = Gan(Generator(6, 16), Critic(6, 16))
    x, y, eta = torch.rand(8, 6), torch.rand(8, 6), torch.rand(8, 1)
    before = gan.generator.gen6.weight.detach().clone()
    gan.step(x, y, eta, move_generator=False)
    assert torch.equal(before, gan.generator.gen6.weight)
    gan.step(x, y, eta, move_generator=True)
    assert not torch.equal(before, gan.generator.gen6.weight)
    pairs = np.column_stack([np.arange(8), np.arange(8)])
    history = train(gan, x, y, np.repeat(pairs, 30, axis=0), GanSettings(1, 20), np.random.default_rng(0))
    assert np.isfinite(history[0].generator)
    with pytest.raises(TrainingError, match="loss of the critic is nan"):
        train(gan, x * torch.nan, y, pairs, QUICK, np.random.default_rng(0))


def test_reference_stays_and_query_comes_nearer():
    X, batch, _ = planted()
    settings = Settings(hidden=32, n_components=5, k1=2, k2=3, training=GanSettings(60, 64, lr=2e-3))
    found = correct(X, batch, settings, seed=1, device="cpu")
    assert found.order == ["a", "b"]
    np.testing.assert_array_equal(found.X[batch == "a"], X[batch == "a"])
    assert found.X.min() >= 0

    def shift(values):
        return np.abs(values[batch == "a"].mean(axis=0) - values[batch == "b"].mean(axis=0)).mean()

    assert shift(found.X) < 0.6 * shift(X)
    assert found.steps[1]["pairs"] > 0


@pytest.mark.parametrize("how", REDUCTIONS)
def test_seed_decides_and_every_reduction_gives_pairs(how):
    X, batch, _ = planted()
    settings = Settings(reduction=how, hidden=16, n_components=5, k1=2, k2=3, training=QUICK)
    first, again, other = (correct(X, batch, settings, seed=seed, device="cpu").X for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    pairs = find_pairs(X[batch == "a"], X[batch == "b"], Settings(reduction=how, filtering=True, pair_cells=15), 0)
    assert pairs.max(axis=0).max() < 20


def test_each_batch_is_mapped_onto_all_before_it():
    X, batch, _ = planted(n=45)
    batch = np.where(np.arange(45) >= 40, "c", batch)
    found = correct(X, batch, Settings(hidden=16, training=QUICK), device="cpu")
    assert sorted(found.order) == ["a", "b", "c"]
    assert [step["pairs"] > 0 for step in found.steps] == [False, True, True]
    changed = [np.abs(found.X - X)[batch == name].max() > 0 for name in found.order]
    assert changed == [False, True, True]
