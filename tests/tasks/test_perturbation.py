"""Perturbation on the planted cells: splits, anchors, controls, baselines and degenerate submissions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sceval import tasks
from sceval.cli.task import main
from sceval.contract import CellFile, ContractError, anndata_kind, h5ad
from sceval.contract.results import GeneEmbedding, Perturbed, write_result
from sceval.data.dataset import read_dataset
from sceval.data.perturbations import Screen, combination_parts, parts_of, targets_of
from sceval.data.sheets import DATASETS
from sceval.metrics.registry import METRICS, headline
from sceval.models.controls import perturbations as controls
from sceval.models.controls.genes import random as random_genes
from sceval.models.genestats.program import coexpression
from sceval.models.perturbation_baselines.program import INFO, perturb
from sceval.models.request import NotApplicable, Request
from sceval.tasks.guard import BadOutput, NotPossible

TASK = tasks.get("perturbation")
EMPTY = {column.name: column.default for column in DATASETS}
SPLITS = ("unseen_perturbation", "unseen_combination", "unseen_context")


@pytest.fixture(scope="module")
def planted():
    return read_dataset(EMPTY | {"path": "embedded:pbmc68k_perturbed", "row": 2}, None)


@pytest.fixture(scope="module")
def views(planted):
    return {split: TASK.prepare(planted, None, "d", split, 0) for split in SPLITS}


@pytest.fixture(scope="module")
def single(views):
    return views["unseen_perturbation"]


@pytest.fixture(scope="module")
def anchors(single):
    return TASK.anchors(*single)


def _request(view, seed=0, **params):
    defaults = {param.name: param.default for param in INFO.params}
    return Request(view, "scratch", defaults | params, seed, "cpu")


def _scored(result, pair, folder):
    view, solution = pair
    write_result(folder / "output.h5ad", view, result)
    return TASK.score(folder / "output.h5ad", view, solution, TASK.plan(view, solution), "sceval", False)


def _scaled(values, anchors):
    out = {}
    for metric in headline("perturbation"):
        measured = anchors[metric.id]
        zero = 0.5 if metric.anchors.startswith("chance") else np.mean(measured["floor"])
        out[metric.id] = (values[metric.id] - zero) / (np.mean(measured["ceiling"]) - zero)
    return out


# -- data and splits ---------------------------------------------------------------------------------------------------


def test_planted_cells_have_the_size_and_keep_base_cells_apart(planted):
    names = {name for name in planted.obs["perturbation"] if name != "control"}
    doubles = {name for name in names if "+" in name}
    assert len(names - doubles) >= 40
    assert len(doubles) >= 20
    assert len(planted.uns["perturbation"]["non_additive"]) == pytest.approx(len(doubles) / 3, abs=1)
    for pool, least in (("train", 30), ("test", 60)):
        cells = planted.obs["pool"] == pool
        assert min(int((cells & (planted.obs["perturbation"] == name)).sum()) for name in names) >= least
    values = planted.X.data
    assert np.array_equal(values, np.round(values))


def test_no_base_cell_is_in_two_pools():
    from sceval.data.embedded import pbmc68k
    from sceval.data.planted_perturbations import _pools

    pools = _pools(np.arange(pbmc68k().n_obs), np.random.default_rng(0))
    assert sum(len(rows) for rows in pools.values()) == len(np.unique(np.concatenate(list(pools.values())))) == 700


@pytest.mark.parametrize("split", SPLITS)
def test_no_cell_of_a_target_is_in_the_view(views, planted, split):
    view, solution = views[split]
    targets = targets_of(view)
    seen = set(zip(view.obs["perturbation"], view.obs["context"], strict=True))
    assert targets
    assert not seen & set(targets)
    assert not set(view.obs_names) & set(solution.obs_names)
    assert set(targets) == set(zip(solution.obs["perturbation"], solution.obs["context"], strict=True)) - {
        ("control", "myeloid"),
        ("control", "t_nk"),
    }
    assert "non_additive" not in view.uns["perturbation"]
    assert "pool" not in view.obs
    pool = dict(zip(planted.obs_names, planted.obs["pool"], strict=True))
    assert {pool[name] for name in view.obs_names} == {"train"}
    assert {pool[name] for name in solution.obs_names} == {"test"}


def test_the_splits_hold_out_what_they_say(views):
    view, _ = views["unseen_perturbation"]
    seen = {name for name in view.obs["perturbation"] if name != "control"}
    assert not any("+" in name for name in seen)
    assert not seen & {name for name, _ in targets_of(view)}
    view, solution = views["unseen_combination"]
    assert all("+" in name for name, _ in targets_of(view))
    assert set(tasks.perturbation.task._truth(view, solution).seen) == {0, 1, 2}
    view, _ = views["unseen_context"]
    held = {context for _, context in targets_of(view)}
    assert len(held) == 1
    inside = view.obs["context"] == held.pop()
    assert set(view.obs["perturbation"][inside]) == {"control"}


def test_another_seed_is_another_split_and_the_same_seed_the_same(planted, single):
    again, _ = TASK.prepare(planted, None, "d", "unseen_perturbation", 0)
    other, _ = TASK.prepare(planted, None, "d", "unseen_perturbation", 1)
    assert np.array_equal(again.obs_names, single[0].obs_names)
    assert targets_of(other) != targets_of(single[0])


def test_combinations_of_a_held_gene_are_test_and_its_single_is_hidden():
    names = ["A", "B", "C", "D", "A+B", "A+C", "B+C", "C+D", "A+D", "B+D"]
    parts = combination_parts(names, "control", 0)
    hidden = {name for name, part in parts.items() if part == "hidden"}
    assert hidden
    assert all(parts[name] == "test" for name in names if "+" in name and hidden & set(parts_of(name, "control")))
    assert "train" in {part for name, part in parts.items() if "+" in name}
    assert parts_of("A+ctrl", "ctrl") == ("A",)


# -- anchors, controls, baselines --------------------------------------------------------------------------------------


def test_floor_and_ceiling_are_apart_on_every_headline_metric(anchors):
    for metric in headline("perturbation"):
        zero = np.full(5, 0.5) if metric.anchors.startswith("chance") else np.array(anchors[metric.id]["floor"])
        one = np.array(anchors[metric.id]["ceiling"])
        assert len(one) == 5
        assert metric.direction * (one.mean() - zero.mean()) > 2 * np.hypot(zero.std(ddof=1), one.std(ddof=1))
    assert not METRICS["pert_pearson"].headline


def test_the_oracle_is_near_one_and_blind_controls_are_near_zero(single, anchors, tmp_path):
    view, solution = single
    scaled = _scaled(_scored(TASK.oracle(view, solution, 0), single, tmp_path).values, anchors)
    assert all(0.85 < value < 1.2 for value in scaled.values()), scaled
    mean = _scaled(_scored(controls.perturbed_mean(_request(view)), single, tmp_path).values, anchors)
    assert all(abs(value) < 0.15 for value in mean.values()), mean
    nothing = _scaled(_scored(controls.control_mean(_request(view)), single, tmp_path).values, anchors)
    assert all(value < 0.1 for value in nothing.values()), nothing
    seeds = [controls.random_perturbed(_request(view, seed)) for seed in range(5)]
    drawn = [_scaled(_scored(result, single, tmp_path).values, anchors) for result in seeds]
    assert all(np.mean([d[name] for d in drawn]) < 0.15 for name in drawn[0])


@pytest.mark.parametrize("method", ["bilinear", "graph"])
def test_methods_that_read_the_gene_learn_something_but_not_all(single, anchors, tmp_path, method):
    made = perturb(_request(single[0], method=method, epochs=40))
    scaled = _scaled(_scored(made, single, tmp_path).values, anchors)
    assert 0.2 < scaled["pearson_delta"] < 0.95
    assert scaled["pds"] > 0.2


def test_additive_needs_seen_parts_and_beats_the_mean_at_telling_combinations(views, tmp_path):
    with pytest.raises(NotApplicable, match="nothing to add up"):
        perturb(_request(views["unseen_perturbation"][0], method="additive"))
    pair = views["unseen_combination"]
    request = _request(pair[0], method="additive")
    found = _scored(perturb(request), pair, tmp_path).values
    blind = _scored(controls.perturbed_mean(_request(pair[0])), pair, tmp_path).values
    assert "never perturbed" in request.warnings[0]
    assert found["pds"] > 0.65
    assert blind["pds"] == pytest.approx(0.5)
    assert found["pearson_delta_seen2"] > blind["pearson_delta_seen2"]
    assert {f"pearson_delta_seen{n}" for n in (0, 1, 2)} <= set(found)


def test_in_another_context_the_same_perturbation_tells_more_than_the_mean(views, tmp_path):
    pair = views["unseen_context"]
    found = _scored(perturb(_request(pair[0], method="additive")), pair, tmp_path).values
    assert found["pds"] > 0.6


def test_the_probe_takes_any_gene_vectors_and_random_ones_know_nothing(single, tmp_path):
    view, _ = single
    values = {}
    for name, X in (("co-expression", coexpression(_request(view))), ("random", random_genes(_request(view)))):
        write_result(tmp_path / "e.h5ad", view, GeneEmbedding(view.var_names, X))
        result, chosen, _ = TASK.probe(view, tmp_path / "e.h5ad", 0)
        values[name] = _scored(result, single, tmp_path).values
        assert chosen["penalty"] > 0
    assert values["co-expression"]["pearson_delta"] > values["random"]["pearson_delta"] + 0.1
    assert abs(values["random"]["pds"] - 0.5) < 0.15


def test_cells_and_genes_in_another_order_get_the_same_scores(single, tmp_path):
    view, _ = single
    made = perturb(_request(view))
    plain = _scored(made, single, tmp_path).values
    rows = np.random.default_rng(0).permutation(len(made.X))
    mixed = dataclasses.replace(made, perturbation=made.perturbation[rows], X=made.X[rows], context=made.context[rows])
    assert _scored(mixed, single, tmp_path).values == pytest.approx(plain, rel=1e-5)


# -- red team: what each degenerate submission gets --------------------------------------------------------------------


@pytest.fixture(scope="module")
def cheats(single):
    """Return submissions that use no perturbed gene, and those that distort an honest prediction."""
    view, solution = single
    rng = np.random.default_rng(0)
    targets = np.array(targets_of(view), object)
    truth = tasks.perturbation.task._truth(view, solution)
    honest = perturb(_request(view, method="bilinear"))
    oracle = TASK.oracle(view, solution, 0)
    control = controls.control_mean(_request(view))
    columns = {name: i for i, name in enumerate(view.var_names)}
    spiked = np.array(control.X)
    for row, name in enumerate(control.perturbation):
        spiked[row, columns[name]] = 0.0  # what everybody knows of a knock-down
    g = view.n_vars
    base = np.array([truth.controls[context][2] for _, context in truth.units])
    mean = np.array([truth.controls[context][2] for context in honest.context])
    means = Perturbed(targets[:, 0], base, targets[:, 1])
    turn = {}
    for place in {context for _, context in truth.units}:
        inside = [name for name, context in truth.units if context == place]
        turn |= {(a, place): b for a, b in zip(inside, np.roll(inside, 1), strict=True)}
    swapped = np.array([turn[key] for key in zip(oracle.perturbation, oracle.context, strict=True)], object)
    return {
        "honest": honest,
        "oracle": oracle,
        "constant": dataclasses.replace(means, X=np.ones((len(targets), g))),
        "zeros": dataclasses.replace(means, X=np.zeros((len(targets), g))),
        "random": dataclasses.replace(means, X=rng.random((len(targets), g))),
        "copy_of_control": control,
        "control_means": means,
        "mean": controls.perturbed_mean(_request(view)),
        "copies_of_training_cells": controls.random_perturbed(_request(view, 3)),
        "spiked_targets": dataclasses.replace(control, X=spiked),
        "control_noise": dataclasses.replace(control, X=control.X + rng.normal(0, 0.5, control.X.shape)),
        "scaled": dataclasses.replace(honest, X=mean + 5 * (honest.X - mean)),
        "shrunk": dataclasses.replace(honest, X=mean + 0.2 * (honest.X - mean)),
        "log_twice": dataclasses.replace(honest, X=np.log1p(np.clip(honest.X, 0, None))),
        "permuted_targets": dataclasses.replace(oracle, perturbation=swapped),
        "sign_turned": dataclasses.replace(honest, X=2 * mean - honest.X),
        "shuffled_genes": dataclasses.replace(honest, X=honest.X[:, rng.permutation(g)]),
    }


@pytest.fixture(scope="module")
def red_team(single, cheats, tmp_path_factory):
    return {name: _scored(made, single, tmp_path_factory.mktemp(name)).values for name, made in cheats.items()}


BLIND = ("constant", "zeros", "random", "copy_of_control", "control_means", "mean", "copies_of_training_cells")


@pytest.mark.parametrize("name", [*BLIND, "control_noise", "spiked_targets", "shuffled_genes", "log_twice"])
def test_what_uses_no_gene_stays_below_the_honest_baseline_on_every_headline_metric(red_team, name):
    for metric in headline("perturbation"):
        value = red_team[name][metric.id]
        if np.isfinite(value):
            assert metric.direction * (value - red_team["honest"][metric.id]) < 0, metric.id


def test_plain_pearson_is_fooled_by_the_controls(red_team):
    assert red_team["copy_of_control"]["pert_pearson"] > 0.85
    assert red_team["mean"]["pert_pearson"] > 0.85
    assert METRICS["pert_pearson"].anchors == "unscaled"


def test_no_change_is_no_agreement(red_team):
    for name in ("copy_of_control", "control_means"):
        assert red_team[name]["pearson_delta"] == 0
        assert red_team[name]["pert_direction"] == 0.5
        assert red_team[name]["pds"] == 0.5


def test_one_answer_for_all_is_chance_at_telling_perturbations_apart(red_team):
    for name in ("constant", "zeros", "mean", "spiked_targets"):
        assert red_team[name]["pds"] == pytest.approx(0.5, abs=0.03), name
        assert red_team[name]["centroid_accuracy"] == pytest.approx(0.5, abs=0.03), name


def test_the_size_of_a_change_is_seen_by_errors_alone(red_team):
    honest = red_team["honest"]
    for name in ("scaled", "shrunk"):
        assert red_team[name]["pearson_delta"] == pytest.approx(honest["pearson_delta"], abs=1e-3)  # blind to it
        assert red_team[name]["pds"] == pytest.approx(honest["pds"], abs=1e-3)
    assert red_team["scaled"]["pert_mse"] > 2 * honest["pert_mse"]
    assert red_team["scaled"]["pert_energy"] > 2 * honest["pert_energy"]
    assert red_team["shrunk"]["pert_mse_de"] > honest["pert_mse_de"]


def test_wrong_signs_and_wrong_targets_are_caught(red_team):
    assert red_team["sign_turned"]["pearson_delta"] == pytest.approx(-red_team["honest"]["pearson_delta"], abs=1e-3)
    assert red_team["sign_turned"]["pert_direction"] < 0.3
    assert red_team["permuted_targets"]["pds"] < 0.7 < red_team["oracle"]["pds"]
    # Perturbed means of other perturbations fool the direction: what all share is right.
    assert red_team["permuted_targets"]["pert_direction"] > 0.6


def test_means_get_no_energy_distance_and_a_finding(single, cheats, tmp_path):
    scored = _scored(cheats["control_means"], single, tmp_path)
    assert np.isnan(scored.values["pert_energy"])
    assert any("energy distance" in line for line in scored.findings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: dataclasses.replace(p, X=np.where(np.arange(p.X.shape[1]) == 3, np.nan, p.X)), "NaN"),
        (lambda p: dataclasses.replace(p, X=np.expm1(p.X)), "no logarithm"),
        (
            lambda p: dataclasses.replace(p, perturbation=np.array([f"x{n}" for n in p.perturbation])),
            "targets are absent",
        ),
        (lambda p: dataclasses.replace(p, context=None), "no obs"),
        (lambda p: dataclasses.replace(p, context=np.full(len(p.X), "t_nk", object)), "absent"),
    ],
)
def test_broken_outputs_are_refused_with_a_reason(single, cheats, tmp_path, change, said):
    view, solution = single
    made = change(cheats["oracle"])
    write_result(tmp_path / "output.h5ad", view, cheats["oracle"])
    raw = h5ad.read(tmp_path / "output.h5ad")
    raw.X = np.asarray(made.X, np.float32)
    raw.obs = {"perturbation": np.asarray(made.perturbation, object)}
    if made.context is not None:
        raw.obs["context"] = made.context
    h5ad.write(tmp_path / "output.h5ad", raw)
    with pytest.raises(BadOutput, match=said):
        TASK.score(tmp_path / "output.h5ad", view, solution, TASK.plan(view, solution), "sceval", False)


# -- bad input, and real data ------------------------------------------------------------------------------------------


def _needs(row, path=None):
    from sceval.data.needs import lacking, split_reason
    from sceval.data.validate import dataset_card

    given = EMPTY | {"dataset": "d", "row": 2, "tasks": []} | row
    card = dataset_card(given, read_dataset(given, path))
    lacks = [need.expected for need in lacking(card, "perturbation")]
    return lacks, {} if lacks else {split: split_reason(card, "perturbation", split) for split in SPLITS}


def test_a_dataset_without_perturbations_or_without_controls_is_told_so(tmp_path):
    lacks, _ = _needs({"path": "embedded:pbmc68k_lanes"})
    assert lacks == ["a column with the perturbation of each cell"]
    lacks, reasons = _needs({"path": "embedded:pbmc68k_perturbed"})
    assert not lacks
    assert not any(reasons.values())
    cells = CellFile(np.array(["a", "b"], object), np.array(["x"], object), X=np.ones((2, 1), np.float32))
    cells.obs["p"] = np.array(["A", "B"], object)
    h5ad.write(tmp_path / "d.h5ad", cells)
    with pytest.raises(ContractError, match="name of the control cells"):
        read_dataset(EMPTY | {"path": "d.h5ad", "row": 2, "perturbation_key": "p"}, tmp_path / "d.h5ad")


REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def _real(name, **row):
    path = REAL / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside the repository (../shared/data)")
    names = {"gene_symbol": "gene_symbol", "ensembl_id": "ensembl_id"}
    return {"path": str(path)} | names | row, path


def test_norman_measures_hardly_any_perturbed_gene_and_is_told_so(tmp_path):
    row, path = _real("norman_mcfaline_perturbench", perturbation_key="perturbation", context_key="cell_type")
    data = read_dataset(EMPTY | {"row": 2} | row, path)
    pair = TASK.prepare(data, None, "norman", "unseen_combination", 0)
    view, solution = pair
    with pytest.raises(NotApplicable, match="not among the measured ones"):
        perturb(_request(view, method="bilinear"))
    write_result(tmp_path / "e.h5ad", view, GeneEmbedding(view.var_names, random_genes(_request(view))))
    with pytest.raises(NotPossible, match="1 of 46 training"):
        TASK.probe(view, tmp_path / "e.h5ad", 0)
    anndata_kind.write("view", tmp_path / "view.h5ad", view)
    paths = {"view": "view.h5ad", "embedding": "e.h5ad", "output": "o.h5ad"}
    options = [word for name, file in paths.items() for word in (f"--{name}", str(tmp_path / file))]
    told = CliRunner().invoke(main, ["probe", *options])
    assert told.exit_code == 99  # not applicable, with the reason as the last line
    assert "not among the measured ones" in told.output.strip().splitlines()[-1]
    additive = _scored(perturb(_request(view, method="additive")), pair, tmp_path).values
    mean = _scored(controls.perturbed_mean(_request(view)), pair, tmp_path).values
    oracle = _scored(TASK.oracle(view, solution, 0), pair, tmp_path).values
    assert mean["pearson_delta"] < additive["pearson_delta"] < oracle["pearson_delta"]
    assert oracle["pds"] > 0.85


def test_interferon_in_an_unseen_cell_type_is_told_by_the_others(tmp_path):
    row, path = _real("kang_ifnb_labelled", perturbation_key="condition", control="ctrl", context_key="cell_type")
    lacks, reasons = _needs(row, path)
    assert not lacks
    assert "single perturbations" in reasons["unseen_perturbation"]
    assert "combinations" in reasons["unseen_combination"]
    assert not reasons["unseen_context"]
    data = read_dataset(EMPTY | {"row": 2} | row, path)
    pair = TASK.prepare(data, None, "kang", "unseen_context", 0)
    scored = _scored(perturb(_request(pair[0], method="additive")), pair, tmp_path)
    assert scored.values["pearson_delta"] > 0.7
    assert np.isnan(scored.values["pds"])
    assert not len(TASK.plan(*pair).masks)  # two units: points, no interval


def test_screens_read_symbols_and_shift_cells_exactly(single):
    from sceval.data.perturbations import shifted_controls

    view, _ = single
    screen = Screen.of(view, "control")
    groups = [screen.rows(*unit) for unit in screen.units()]
    assert sum(map(len, groups)) == int((~screen.is_control).sum())
    assert np.allclose(screen.means(groups), [screen.mean(rows) for rows in groups])
    shift = np.linspace(-1, 1, view.n_vars)
    cells = shifted_controls(screen, "myeloid", shift, 20, 0)
    assert np.allclose(cells.mean(axis=0), screen.mean(screen.controls("myeloid")) + shift)
