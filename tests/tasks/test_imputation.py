"""Imputation on the embedded cells: what is hidden, controls, and what degenerate submissions get."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval import contract, tasks
from sceval.contract import CellFile, ContractError
from sceval.contract.results import Imputed, write_result
from sceval.data import embedded
from sceval.data.dataset import read_dataset
from sceval.data.sheets import DATASETS
from sceval.metrics.registry import METRICS, headline
from sceval.models.controls import imputations
from sceval.models.imputation_baselines import program as baselines
from sceval.models.request import NotApplicable, Request
from sceval.tasks.guard import BadOutput
from sceval.tasks.imputation.truth import truth_of

TASK = tasks.get("imputation")
EMPTY = {column.name: column.default for column in DATASETS}
SPLITS = ("thinning", "masked", "spatial")


def _data(name: str) -> CellFile:
    return read_dataset(EMPTY | {"path": f"embedded:{name}", "label_key": "cell_type", "row": 2}, None)


def _cut(data: CellFile, every: int, n_genes: int) -> CellFile:
    """A part of the cells and the genes with the most counts; no labels, so that one test alone clusters."""
    columns = np.sort(np.argsort(-np.asarray(data.X.sum(axis=0)).ravel(), kind="stable")[:n_genes])
    X, obs = data.X[::every][:, columns].tocsr(), {name: v[::every] for name, v in data.obs.items()}
    out = CellFile(data.obs_names[::every], data.var_names[columns], X=X, obs=obs, uns=data.uns)
    out.obs.pop("cell_type")
    out.var = {name: values[columns] for name, values in data.var.items()}
    out.obsm = {name: values[::every] for name, values in data.obsm.items()}
    return out


@pytest.fixture(scope="module")
def cells():
    """A third of the embedded cells, and the planted spots, in the 200 genes with the most counts."""
    data, spots = _cut(_data("pbmc68k_lanes"), 3, 200), _cut(_data("pbmc68k_spatial"), 1, 200)
    return {"thinning": data, "masked": data, "spatial": spots}


@pytest.fixture(scope="module")
def prepared(cells):
    return {split: TASK.prepare(data, None, "d", split, 0) for split, data in cells.items()}


def _scorer(view, solution, folder):
    """Return a function: result -> (values, scaled values on the measured anchors)."""
    plan, known = TASK.plan(view, solution), TASK.anchors(view, solution)

    def score(result):
        write_result(folder / "o.h5ad", view, result)
        values = TASK.score(folder / "o.h5ad", view, solution, plan, "sceval", False).values
        sides = {name: (np.mean(side["floor"]), np.mean(side["ceiling"])) for name, side in known.items()}
        return values, {name: (values[name] - zero) / (one - zero) for name, (zero, one) in sides.items()}

    return score


def _request(view, seed=0, **params):
    defaults = {param.name: param.default for param in baselines.INFO.params}
    return Request(view, "scratch", defaults | params, seed, "cpu")


def _heads(split):
    known = {"imp_pearson_gene", "imp_mse"} if split != "spatial" else {"imp_pearson_gene", "imp_spearman_gene"}
    assert known <= {metric.id for metric in headline("imputation")}
    return known


# -- what is hidden ----------------------------------------------------------------------------------------------------


def test_thinning_deals_every_count_once_and_the_parts_are_independent_given_the_rate(cells, prepared):
    view, solution = prepared["thinning"]
    assert (view.X + solution.X != cells["thinning"].X).nnz == 0
    assert view.X.sum() / cells["thinning"].X.sum() == pytest.approx(0.5, abs=0.01)
    # Noise that is independent: of Poisson counts the two parts do not correlate at all.
    from sceval.tasks.imputation.prepare import thin

    rng = np.random.default_rng(0)
    noise = sparse.csr_matrix(rng.poisson(3.0, (3000, 2)).astype(np.float32))
    first, second = (part.toarray() for part in thin(noise, 0.5, rng))
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.06


def test_masked_lists_what_it_hides_and_being_hidden_tells_nothing(cells, prepared):
    view, solution = prepared["masked"]
    hidden, X = view.layers["hidden"].toarray() > 0, cells["masked"].X.toarray()
    assert (view.X.toarray()[hidden] == 0).all()
    assert (view.X.toarray()[~hidden] == X[~hidden]).all()
    assert (solution.X.toarray() == np.where(hidden, X, 0)).all()
    assert hidden[X > 0].mean() == pytest.approx(0.1, abs=0.005)
    assert hidden[X == 0].mean() == pytest.approx(0.1, abs=0.005)


def test_spots_lack_the_held_out_genes_and_the_reference_has_them(prepared):
    view, solution = prepared["spatial"]
    spots, asked = view.obs["modality"] == "spatial", view.var["part"] == "test"
    assert view.X[spots][:, asked].nnz == 0
    assert view.X[~spots][:, asked].nnz > 0
    assert solution.X[~spots].nnz == 0
    assert np.isfinite(view.obsm["spatial"][spots]).all()
    assert "cell_type" not in view.obs


def test_views_pass_the_contract_and_another_split_seed_hides_other_counts(cells, prepared, tmp_path):
    for split, (view, solution) in prepared.items():
        contract.write("view", tmp_path / "v.h5ad", view)
        contract.write("solution", tmp_path / "s.h5ad", solution)
        assert contract.read("view", tmp_path / "v.h5ad").X.nnz == view.X.nnz
        again, other = (TASK.prepare(cells[split], None, "d", split, seed)[0] for seed in (0, 1))
        assert (again.X != view.X).nnz == 0
        assert (other.X != view.X).nnz > 0


def test_planted_spots_pool_other_cells_and_neighbors_on_the_grid_are_alike():
    found, cells = embedded.load("pbmc68k_spatial"), embedded.load("pbmc68k_lanes")
    spots = found.obs["modality"] == "spatial"
    assert set(found.obs_names[~spots]) < set(cells.obs_names)
    where, kinds = found.obsm["spatial"][spots], found.obs["cell_type"][spots]
    beside = np.abs(where[:, None] - where[None]).sum(axis=2) == 1
    same = kinds[:, None] == kinds[None]
    assert same[beside].mean() > same.mean() + 0.15  # smooth
    assert (found.X[spots].data == np.round(found.X[spots].data)).all()


# -- controls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_controls_stand_where_they_must_and_a_baseline_between(split, tmp_path):
    data = _data("pbmc68k_spatial" if split == "spatial" else "pbmc68k_lanes")
    del data.obs["cell_type"]
    view, solution = TASK.prepare(data, None, "d", split, 0)
    scaled = _scorer(view, solution, tmp_path)
    oracle = scaled(TASK.oracle(view, solution, 0))[1]
    blind = [scaled(make(_request(view)))[1] for make in imputations.CONTROLS.values()]
    method = "mapping" if split == "spatial" else "magic"
    honest = scaled(baselines.impute(_request(view, method=method)))[1]
    for metric in _heads(split):
        assert oracle[metric] == pytest.approx(1, abs=0.1), metric
        assert max(found[metric] for found in blind) == pytest.approx(0, abs=0.02), metric
        assert 0.3 < honest[metric] < 0.95, metric


@pytest.mark.parametrize("split", SPLITS)
def test_every_method_runs_or_says_why_not(split, prepared):
    view = prepared[split][0]
    fit = baselines.SPOTS if split == "spatial" else baselines.CELLS
    for method in (*baselines.CELLS, *baselines.SPOTS):
        request = _request(view, method=method, mapping_steps=3)
        if method not in fit:
            with pytest.raises(NotApplicable, match=method):
                baselines.impute(request)
            continue
        made = baselines.impute(request)
        assert made.X.shape == (len(made.rows), view.n_vars)
        assert np.isfinite(made.X).all()
        assert made.X.min() >= 0


def test_intervals_units_and_declarations(prepared, tmp_path):
    for split, (view, solution) in prepared.items():
        plan = TASK.plan(view, solution)
        assert plan.unit == ("gene" if split == "spatial" else "cell")
        write_result(tmp_path / "o.h5ad", view, imputations.mean_total(_request(view)))
        found = TASK.score(tmp_path / "o.h5ad", view, solution, plan, "sceval", False)
        assert set(found.values) <= set(METRICS)
        assert all(len(values) == len(plan.masks) for values in found.replicates.values())
        for metric in _heads(split):
            spread = plan.scale * found.replicates[metric].std(ddof=1)
            assert 0 < spread < abs(found.values[metric])
        names, genes = found.units["imp_pearson_gene"]
        assert len(names) == len(genes) == truth_of(view, solution).told.sum()
        assert any("left out of correlations" in text for text in found.findings)


# -- red team: what each degenerate submission gets --------------------------------------------------------------------


def _cheats(view, truth, split):
    """Return name -> matrix of the asked cells and all genes; the first group uses no solution."""
    rng = np.random.default_rng(0)
    X = view.X[truth.rows].toarray()
    floor = imputations.mean_total(_request(view)).X
    n, g = X.shape
    order = rng.permutation(n)
    method = "mapping" if split == "spatial" else "magic"
    good = np.asarray(baselines.impute(_request(view, method=method)).X, np.float32)
    return {
        "constant": np.full((n, g), 0.5),
        "mean": np.tile(floor.mean(axis=0), (n, 1)),
        "total_only": np.repeat(floor.sum(axis=1, keepdims=True), g, axis=1),
        "flood": np.full((n, g), 1e4),
        "shuffled_cells": good[order],
        "shuffled_genes": good[:, rng.permutation(g)],
        "copy_of_the_view": X,
        "another_cell": X[order],
        "uniform_noise": rng.random((n, g)),
        "reversed": good.max(axis=0) - good,
        "binary": (X > 0).astype(float),
    }, good


@pytest.mark.parametrize("split", SPLITS)
def test_cheats_that_know_nothing_get_nothing_on_headline_metrics(split, prepared, tmp_path):
    view, solution = prepared[split]
    scaled = _scorer(view, solution, tmp_path)
    truth = truth_of(view, solution)
    cheats, good = _cheats(view, truth, split)
    honest = scaled(Imputed(truth.rows, good))[1]
    for name, X in cheats.items():
        values, found = scaled(Imputed(truth.rows, X))
        for metric in _heads(split):
            # Under thinning the view itself is a noisy measurement of the rates: the honest baseline `none`, no cheat.
            measured = split == "thinning" and name in ("copy_of_the_view", "binary")
            most = max(honest[metric], 0.8) if measured else 0.05
            assert found[metric] < most, (name, metric)
        if name == "mean" and split != "spatial":
            # One profile for all cells fools the correlation per cell, which is no headline for that reason.
            assert values["imp_pearson_cell"] > 0.45
            assert values["imp_pearson_gene"] == 0
        if name == "constant" and split == "spatial":
            assert found["imp_rmse_z"] > 0.3  # saying nothing fools the RMSE of z-scores
        if name == "reversed" and split == "spatial":
            assert values["imp_significant"] < 0.05 < 0.5 < values["imp_significant_study"]  # fools the study's share


def test_wrong_scales_fool_correlations_and_not_the_error(prepared, tmp_path):
    view, solution = prepared["thinning"]
    scaled = _scorer(view, solution, tmp_path)
    good = baselines.impute(_request(view, method="magic"))
    plain, at = scaled(good)
    for change in (lambda X: 10 * X, lambda X: X / 50, np.log1p):
        values, found = scaled(Imputed(good.rows, change(good.X)))
        assert values["imp_pearson_gene"] == pytest.approx(plain["imp_pearson_gene"], abs=0.05)
        assert found["imp_mse"] < at["imp_mse"] - 0.1
        assert values["imp_nll"] > plain["imp_nll"]


def test_zeros_look_small_in_absolute_numbers_and_lose_on_the_scale(prepared, tmp_path):
    view, solution = prepared["thinning"]
    scaled = _scorer(view, solution, tmp_path)
    values, found = scaled(imputations.zeros(_request(view)))
    assert values["imp_rmse"] < 0.1 * truth_of(view, solution).y.max()
    assert found["imp_mse"] < -0.5
    assert values["imp_nll"] > 2


def test_the_counts_themselves_are_beyond_what_any_rate_reaches(prepared, tmp_path):
    view, solution = prepared["thinning"]
    scaled = _scorer(view, solution, tmp_path)
    truth = truth_of(view, solution)
    _, found = scaled(Imputed(truth.rows, truth.y))
    assert found["imp_pearson_gene"] > 1.5  # never clipped: such a run has read the solution
    assert found["imp_mse"] > 1.2


def test_one_profile_for_each_type_fools_average_bio_alone(tmp_path):
    data = _data("pbmc68k_lanes")
    kinds = data.obs["cell_type"]
    rows = np.flatnonzero(np.isin(kinds.astype(str), ["Dendritic", "CD19+ B", "CD56+ NK"]))[:200]
    kept = CellFile(data.obs_names[rows], data.var_names, X=data.X[rows], obs={"cell_type": kinds[rows]}, uns=data.uns)
    kept.var = data.var
    data = kept
    view, solution = TASK.prepare(data, None, "d", "thinning", 0)
    labels = data.obs["cell_type"].astype(str)
    islands = np.random.default_rng(0).random((3, view.n_vars))[np.unique(labels, return_inverse=True)[1]]
    islands = islands + 1e-4 * np.random.default_rng(1).random(islands.shape)

    def score(result):
        write_result(tmp_path / "o.h5ad", view, result)
        return TASK.score(tmp_path / "o.h5ad", view, solution, TASK.plan(view, solution), "sceval", False).values

    cheat, raw = score(Imputed(np.arange(len(rows)), islands)), score(baselines.impute(_request(view, method="none")))
    assert cheat["imp_avg_bio"] > 0.95
    assert cheat["imp_pearson_gene"] < raw["imp_pearson_gene"]
    assert raw["imp_bio_gain"] == pytest.approx(0)
    assert "imputation" not in METRICS["imp_avg_bio"].headline


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o: setattr(o, "X", np.where(np.arange(o.n_vars) == 3, np.nan, o.X).astype(np.float32)), "NaN"),
        (lambda o: setattr(o, "X", -o.X - 1), "negative"),
        (lambda o: setattr(o, "obs_names", np.array([f"x{i}" for i in range(o.n_obs)], object)), "absent"),
        (lambda o: setattr(o, "var_names", np.array([f"g{i}" for i in range(o.n_vars)], object)), "genes are absent"),
        (lambda o: setattr(o, "obs_names", np.array(["a"] * o.n_obs, object)), "second time"),
    ],
)
def test_broken_outputs_are_refused_with_a_reason(prepared, tmp_path, change, said):
    from sceval.contract import h5ad

    view, solution = prepared["thinning"]
    write_result(tmp_path / "good.h5ad", view, imputations.mean_total(_request(view)))
    output = contract.read("imputed", tmp_path / "good.h5ad")
    change(output)
    h5ad.write(tmp_path / "o.h5ad", output)
    with pytest.raises(BadOutput, match=said):
        TASK.score(tmp_path / "o.h5ad", view, solution, TASK.plan(view, solution), "sceval", False)


def test_another_order_of_cells_and_genes_is_put_right_and_said_and_permuted_ids_lose(prepared, tmp_path):
    view, solution = prepared["thinning"]
    good = baselines.impute(_request(view, method="magic"))
    write_result(tmp_path / "o.h5ad", view, good)
    output = contract.read("imputed", tmp_path / "o.h5ad")
    plan = TASK.plan(view, solution)
    plain = TASK.score(tmp_path / "o.h5ad", view, solution, plan, "sceval", False).values
    back = CellFile(output.obs_names[::-1], output.var_names[::-1], X=output.X[::-1, ::-1].copy())
    contract.write("imputed", tmp_path / "p.h5ad", back)
    found = TASK.score(tmp_path / "p.h5ad", view, solution, plan, "sceval", False)
    assert found.values["imp_mse"] == plain["imp_mse"]
    assert sum("put right" in text for text in found.findings) == 2
    contract.write("imputed", tmp_path / "q.h5ad", CellFile(output.obs_names[::-1], output.var_names, X=output.X))
    lost = TASK.score(tmp_path / "q.h5ad", view, solution, plan, "sceval", False).values
    assert lost["imp_pearson_gene"] < 0.1 < plain["imp_pearson_gene"]


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_values_that_are_no_counts_are_refused_with_what_would_be_right(tmp_path):
    from sceval.data.dataset import check_dataset
    from sceval.data.needs import lacking, split_reason

    card = {"matrix": "lognorm", "query": ""}
    (need,) = lacking(card, "imputation")
    assert need.column == "matrix"
    assert "raw counts" in need.expected
    data = _data("pbmc68k_lanes")
    data.X = data.X * 0.7
    with pytest.raises(ContractError, match="whole counts"):
        TASK.prepare(data, None, "d", "thinning", 0)
    (problem,) = check_dataset(EMPTY | {"path": "x", "row": 2}, data)
    assert "integer" in str(problem) or "whole" in str(problem)
    assert "names no query dataset" in split_reason({"query": ""}, "imputation", "spatial")
    spots = {"query": "", "cells_per_modality": {"spatial": 5, "single_cell": 9}}
    assert "no positions" in split_reason(spots, "imputation", "spatial")
    assert "no positions" in split_reason({"query": "q", "query_is_spatial": False}, "imputation", "spatial")
    assert not split_reason(spots | {"spatial": True}, "imputation", "spatial")
    assert "spatial" in split_reason(spots, "imputation", "thinning")


def test_spots_without_positions_or_with_few_shared_genes_are_refused():
    data = _data("pbmc68k_spatial")
    del data.obsm["spatial"]
    with pytest.raises(ContractError, match="positions of the spots"):
        TASK.prepare(data, None, "d", "spatial", 0)
    reference, spots = _data("pbmc68k_lanes"), _data("pbmc68k_lanes")
    spots.var_names = np.array([f"other{i}" for i in range(spots.n_vars)], object)
    with pytest.raises(ContractError, match="0 genes shared"):
        TASK.prepare(reference, spots, "d", "spatial", 0)
