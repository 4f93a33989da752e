"""Classical simulators and controls of simulation: what they keep, what they lose, and on what they depend."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile
from sceval.models.controls.simulations import CONTROLS
from sceval.models.request import NotApplicable, Request
from sceval.models.simulation_baselines import copula, negative_binomial, splat
from sceval.models.simulation_baselines.program import INFO, METHODS, simulate

DEFAULTS = {param.name: param.default for param in INFO.params}


@pytest.fixture
def view() -> CellFile:
    rng = np.random.default_rng(0)
    rate = np.where(np.arange(60)[:, None] < 30, rng.gamma(1, 3, 12), rng.gamma(1, 3, 12))
    X = rng.poisson(rate * rng.lognormal(0, 0.3, (60, 1))).astype(np.float32)
    cells = np.array([f"c{i}" for i in range(60)], object)
    out = CellFile(cells, np.array([f"g{i}" for i in range(12)], object), X=sparse.csr_matrix(X))
    out.obs["cell_type"] = np.repeat(np.array(["a", "b"], object), 30)
    out.obs["batch"] = np.tile(np.array(["x", "y"], object), 30)
    out.uns["simulation"] = {
        "cell_type": np.array(["a", "a", "b"], object),
        "batch": np.array(["x", "y", "y"], object),
        "n": np.array([20, 15, 25]),
    }
    return out


def _made(view, seed=0, **params):
    return simulate(Request(view, "scratch", DEFAULTS | params, seed, "cpu"))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_asked_for_is_made_and_types_keep_their_means(view, method):
    made = _made(view, method=method)
    assert made.cell_type.tolist() == ["a"] * 35 + ["b"] * 25
    assert made.batch.tolist() == ["x"] * 20 + ["y"] * 40
    assert (made.X.data == np.round(made.X.data)).all()
    for kind in ("a", "b"):
        real = np.asarray(view.X[view.obs["cell_type"] == kind].mean(axis=0)).ravel()
        new = np.asarray(made.X[made.cell_type == kind].mean(axis=0)).ravel()
        assert np.corrcoef(real, new)[0, 1] > 0.9
        assert new.sum() == pytest.approx(real.sum(), rel=0.35)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_cells_whatever_the_order_of_the_file(view, method):
    order = np.random.default_rng(1).permutation(60)
    mixed = CellFile(view.obs_names[order], view.var_names, X=view.X[order], uns=view.uns)
    mixed.obs = {name: values[order] for name, values in view.obs.items()}
    first, second = _made(view, method=method), _made(mixed, method=method)
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    assert (first.X != _made(view, seed=1, method=method).X).nnz


def test_bootstrap_gives_cells_of_the_type_and_batch_asked_for(view):
    made = _made(view, method="bootstrap")
    able = (view.obs["cell_type"] == "b") & (view.obs["batch"] == "y")
    known = {row.tobytes() for row in view.X[able].toarray()}
    assert all(row.tobytes() in known for row in made.X[made.cell_type == "b"].toarray())


def test_an_unknown_type_is_not_applicable(view):
    view.uns["simulation"]["cell_type"][0] = "nobody"
    with pytest.raises(NotApplicable, match=r"nobody.*it has a, b"):
        _made(view)
    del view.uns["simulation"]
    with pytest.raises(NotApplicable, match="groups wanted"):
        _made(view)


def test_negative_binomial_recovers_mean_and_dispersion():
    X = negative_binomial.draw(np.array([5.0, 20.0]), np.array([0.5, 0.0]), 20_000, np.random.default_rng(0))
    mean, dispersion = negative_binomial.fit(X)
    np.testing.assert_allclose(mean, [5, 20], rtol=0.05)
    np.testing.assert_allclose(dispersion, [0.5, 0], atol=0.05)
    cdf = negative_binomial.distribution(5.0, 0.5, 60)
    np.testing.assert_allclose(cdf[:5], [(X[:, 0] <= k).mean() for k in range(5)], atol=0.02)


def test_the_copula_keeps_correlations_that_independent_genes_lose():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(2, 5, (200, 1)) * np.array([1.0, 2.0])).astype(float)
    kept = copula.simulate(X, 500, 0.1, rng)
    lost = copula.simulate(X, 500, 1.0, rng)
    assert np.corrcoef(kept.T)[0, 1] > 0.6
    assert abs(np.corrcoef(lost.T)[0, 1]) < 0.15
    np.testing.assert_allclose(kept.mean(axis=0), X.mean(axis=0), rtol=0.15)
    assert copula.simulate(X[:1], 5, 0.1, rng).shape == (5, 2)


def test_splat_fits_dropout_only_where_zeros_are_too_many():
    means = np.exp(np.linspace(-1, 3, 200))
    expected = np.exp(-means)
    assert splat.fit_dropout(means, expected, expected) is None
    lost = splat.dropout(np.log(means), 0.5, -2.0)
    midpoint, slope = splat.fit_dropout(means, expected + (1 - expected) * lost, expected)
    assert slope < 0
    assert midpoint == pytest.approx(0.5, abs=0.7)


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_know_no_type(view, name):
    made = CONTROLS[name](Request(view, "scratch", {}, 0, "cpu"))
    assert made.X.shape == (60, 12)
    a, b = (np.asarray(made.X[made.cell_type == kind].mean(axis=0)).ravel() for kind in ("a", "b"))
    real = [np.asarray(view.X[view.obs["cell_type"] == kind].mean(axis=0)).ravel() for kind in ("a", "b")]
    if name == "single_gene":
        assert (np.diff(made.X.indptr) == 1).all()
        return
    assert np.abs(a - b).sum() < 0.5 * np.abs(real[0] - real[1]).sum()
    if name == "global_poisson":
        assert np.corrcoef(a, np.asarray(view.X.mean(axis=0)).ravel())[0, 1] > 0.9
    else:
        assert a.std() < 0.3 * a.mean()
