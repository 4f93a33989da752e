"""Simulation on the embedded cells: parts, controls, and what each degenerate submission fools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from sceval import tasks
from sceval.contract import CellFile, ContractError, h5ad
from sceval.contract.results import Simulated, write_result
from sceval.data.embedded import load
from sceval.data.needs import lacking
from sceval.models.controls.simulations import CONTROLS
from sceval.models.request import Request
from sceval.models.simulation_baselines.program import INFO, simulate
from sceval.tasks.guard import BadOutput
from sceval.tasks.simulation.prepare import parts

TASK = tasks.get("simulation")
PARAMS = {param.name: param.default for param in INFO.params}
HEADLINE = ("sim_energy_new", "sim_mmd_new", "sim_c2st_new", "sim_correlation_new")
DISTRIBUTIONS = ("sim_gene_mean", "sim_gene_variance", "sim_gene_zeros", "sim_cell_zeros", "sim_library")
REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


class Group:
    """A view with its solution, its anchors, and a way to score cells."""

    def __init__(self, data: CellFile, folder: Path) -> None:
        data.uns["sceval"] = {"organism": "human", "matrix": "counts"}
        self.view, self.solution = TASK.prepare(data, None, "d", "thirds", 0)
        self.anchors = TASK.anchors(self.view, self.solution)
        plan = TASK.plan(self.view, self.solution)
        self.plan, self.folder = replace(plan, masks=plan.masks[:2]), folder

    def run(self, made: Simulated):
        path = self.folder / "output.h5ad"
        write_result(path, self.view, made)
        return TASK.score(path, self.view, self.solution, self.plan, "sceval", False)

    def scaled(self, values: dict[str, float]) -> dict[str, float]:
        """Put headline and distribution metrics on the two-anchor scale."""
        out = {}
        for name in (*HEADLINE, *DISTRIBUTIONS, "sim_energy", "sim_mmd", "sim_c2st", "sim_correlation"):
            zero, one = (np.mean(self.anchors[name][side]) for side in ("floor", "ceiling"))
            out[name] = (values[name] - zero) / (one - zero)
        return out

    def request(self, seed=0, **params) -> Request:
        return Request(self.view, "scratch", PARAMS | params, seed, "cpu")

    def baseline(self, method: str) -> Simulated:
        return simulate(self.request(method=method))


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    return Group(load("pbmc68k_lanes"), tmp_path_factory.mktemp("simulation"))


@pytest.fixture(scope="module")
def oracle(group):
    return TASK.oracle(group.view, group.solution, 0)


@pytest.fixture(scope="module")
def copies(group):
    return group.baseline("bootstrap")


def _changed(made: Simulated, X=None, cell_type=None) -> Simulated:
    X = made.X if X is None else sparse.csr_matrix(X)
    return Simulated(X, made.cell_type if cell_type is None else cell_type, made.batch)


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_the_parts_are_half_and_two_quarters_of_every_type(group):
    view, solution = group.view, group.solution
    part, types = solution.obs["part"], solution.obs["cell_type"]
    assert set(part) == {"test", "replicate"}
    assert view.n_obs + solution.n_obs == 700
    assert not set(view.obs_names) & set(solution.obs_names)
    for kind in set(types):
        test, replicate = (int(((types == kind) & (part == name)).sum()) for name in ("test", "replicate"))
        train = int((view.obs["cell_type"] == kind).sum())
        assert abs(test - replicate) <= 1
        assert abs(train - 2 * test) <= 2
    asked = view.uns["simulation"]
    assert asked["n"].sum() == (part == "test").sum()
    assert set(asked["batch"]) <= set(view.obs["batch"])
    assert "part" not in view.obs


def test_batches_are_balanced_and_none_is_asked_for_that_was_not_seen():
    types = np.repeat(["a", "b"], [400, 41])
    batches = np.concatenate([np.repeat(["x", "y"], 200), np.repeat("x", 40), ["lonely"]])
    part = parts(types, batches, 0)
    for batch in ("x", "y"):
        inside = (types == "a") & (batches == batch)
        assert [(part[inside] == name).sum() for name in ("train", "test", "replicate")] == [100, 50, 50]
    assert part[batches == "lonely"].tolist() == ["train"]
    assert (part != parts(types, batches, 1)).any()


def test_cells_without_a_label_take_no_part():
    data = load("pbmc68k_lanes")
    data.uns["sceval"] = {"organism": "human", "matrix": "counts"}
    data.obs["cell_type"][:100] = None
    view, solution = TASK.prepare(data, None, "d", "thirds", 0)
    assert view.n_obs + solution.n_obs == 600


def test_data_without_two_types_or_counts_are_not_applicable_with_the_reason():
    card = {"n_types": 2, "cells_per_type": {"a": 100, "b": 19}, "matrix": "counts"}
    assert "a: 100, b: 19" in lacking(card, "simulation")[0].found
    assert lacking(card | {"cells_per_type": {"a": 100, "b": 20}}, "simulation") == []
    assert lacking(card | {"n_types": 1, "cells_per_type": {"a": 100}}, "simulation")[0].found.startswith("one class")
    assert lacking({"n_types": 0, "cells_per_type": {}, "matrix": "counts"}, "simulation")[0].found == "no label_key"
    assert "raw counts" in lacking(card | {"matrix": "lognorm"}, "simulation")[0].expected
    data = load("pbmc68k_lanes")
    data.uns["sceval"] = {"organism": "human", "matrix": "counts"}
    data.obs["cell_type"][:] = "one"
    with pytest.raises(ContractError, match="at least two"):
        TASK.prepare(data, None, "d", "thirds", 0)


# -- controls and baselines --------------------------------------------------------------------------------------------


def test_positive_controls_stand_near_one_and_negative_near_zero_on_headline_metrics(group, oracle, copies):
    good = group.scaled(group.run(oracle).values)
    floor, uniform, single = (
        group.scaled(group.run(CONTROLS[name](group.request())).values)
        for name in ("global_poisson", "uniform", "single_gene")
    )
    copied = group.scaled(group.run(copies).values)
    for name in HEADLINE:
        assert good[name] == pytest.approx(1, abs=0.12), name
        assert floor[name] == pytest.approx(0, abs=0.05), name
        assert copied[name] == pytest.approx(0, abs=0.05), name
        assert max(uniform[name], single[name]) < 0.05, name


def test_honest_baselines_lie_between_and_are_no_copies(group):
    for method in ("nb", "splat", "copula"):
        found = group.run(group.baseline(method))
        scaled = group.scaled(found.values)
        assert 0.5 < scaled["sim_energy_new"] < 1.1, method
        assert 0.05 < scaled["sim_c2st_new"] < 1, method
        assert found.values["sim_copied"] <= 0.05, method
        assert not any("memorized" in finding for finding in found.findings), method
    # What the copula is for.
    kept, lost = (group.run(group.baseline(method)).values["sim_correlation"] for method in ("copula", "nb"))
    assert kept > lost


def test_scores_have_shares_of_cells_and_replicates(group, oracle):
    found = group.run(oracle)
    assert len(found.unit_names) == (group.solution.obs["part"] == "test").sum()
    assert np.nanmean(found.units["sim_energy"]) == pytest.approx(found.values["sim_energy"])
    assert all(len(found.replicates[name]) == 2 for name in found.values)
    assert any("fewer than 5 test cells" in finding for finding in found.findings)


# -- red team: what each degenerate submission fools, and what it does not ---------------------------------------------


def test_copies_reach_the_ceiling_of_distributions_and_are_told(group, copies):
    """Fools: energy, MMD, r, all distributions, coverage. Not: memorization, copies, the headline."""
    found = group.run(copies)
    scaled = group.scaled(found.values)
    for name in ("sim_energy", "sim_mmd", "sim_correlation", *DISTRIBUTIONS):
        assert scaled[name] > 0.9, name
    assert found.values["sim_copied"] == 1
    assert found.values["sim_memorization"] < 0.01
    assert max(scaled[name] for name in HEADLINE) < 0.05
    assert any("memorized: 176 of 176" in finding for finding in found.findings)


def _one_more(X, rng):
    X = X.toarray()
    X[np.arange(len(X)), rng.integers(0, X.shape[1], len(X))] += 1
    return X


def _thinned(X, rng):
    X = X.copy()
    X.data = rng.binomial(X.data.astype(int), 0.8).astype(np.float32)
    return X


@pytest.mark.parametrize("change", [_one_more, _thinned, lambda X, rng: X * 2, lambda X, rng: rng.poisson(X.toarray())])
def test_hidden_copies_are_told_too(group, copies, change):
    """One count changed, thinned, doubled, with Poisson noise. Fools: energy. Not: copies, the headline."""
    found = group.run(_changed(copies, change(copies.X, np.random.default_rng(0))))
    assert group.scaled(found.values)["sim_energy"] > 0.8
    assert found.values["sim_copied"] > 0.9
    assert max(group.scaled(found.values)[name] for name in HEADLINE) < 0.2


def test_a_mixture_of_copies_and_honest_cells_gains_nothing_by_its_copies(group, copies):
    honest = group.baseline("nb")
    half = np.arange(honest.X.shape[0]) % 2 == 0
    rows = np.where(half[:, None], copies.X.toarray(), honest.X.toarray())
    mixed, plain = group.run(_changed(copies, rows)), group.run(honest)
    assert mixed.values["sim_copied"] == pytest.approx(0.5, abs=0.05)
    assert mixed.values["sim_energy"] < plain.values["sim_energy"]
    assert mixed.values["sim_energy_new"] > plain.values["sim_energy_new"]
    assert any("memorized" in finding for finding in mixed.findings)


def test_shuffled_genes_fool_what_looks_at_distributions_alone(group, oracle):
    """Columns of real cells in another order. Fools: all five distributions. Not: energy, classifier, r."""
    order = np.random.default_rng(0).permutation(oracle.X.shape[1])
    scaled = group.scaled(group.run(_changed(oracle, oracle.X[:, order])).values)
    assert min(scaled[name] for name in DISTRIBUTIONS) > 0.9
    assert max(scaled[name] for name in HEADLINE) < 0.05


def test_genes_shuffled_over_the_cells_of_a_type_fool_gene_means(group):
    """Each gene's training values dealt anew inside the type. Fools: gene means and zeros. Not: classifier, r."""
    rng = np.random.default_rng(0)
    made = group.baseline("bootstrap")
    X = made.X.toarray()
    for kind in set(made.cell_type):
        rows = np.flatnonzero(made.cell_type == kind)
        X[rows] = rng.permuted(X[rows], axis=0)
    found = group.run(_changed(made, X))
    scaled = group.scaled(found.values)
    assert min(scaled[name] for name in ("sim_gene_mean", "sim_gene_zeros")) > 0.8
    assert scaled["sim_c2st_new"] < 0.7
    assert scaled["sim_library"] < 0.9
    assert found.values["sim_correlation"] < group.run(made).values["sim_correlation"]


def test_the_mean_cell_repeated_fools_the_study_s_bio_score_alone(group):
    """Rounded mean of each type for every cell. Fools: S_bio. Not: classifier, r, variances, coverage."""
    made = group.baseline("bootstrap")
    X = np.zeros(made.X.shape, np.float32)
    for kind in set(made.cell_type):
        mean = np.asarray(group.view.X[group.view.obs["cell_type"] == kind].mean(axis=0)).ravel()
        X[made.cell_type == kind] = np.round(mean)
    values = group.run(_changed(made, X)).values
    assert values["sim_s_bio"] > np.mean(group.anchors["sim_s_bio"]["ceiling"])
    scaled = group.scaled(values)
    assert scaled["sim_c2st_new"] < 0.1
    assert scaled["sim_gene_variance"] < 0
    assert scaled["sim_correlation_new"] < 0.9
    assert values["sim_coverage"] < 0.6


def test_scaled_counts_fool_all_but_library_size(group, oracle):
    """Three times the counts of real cells. Fools: all that takes CP10k. Not: library size."""
    scaled = group.scaled(group.run(_changed(oracle, oracle.X * 3)).values)
    assert min(scaled[name] for name in HEADLINE) > 0.85
    assert scaled["sim_library"] < 0


def test_wrong_types_fool_what_looks_at_no_label(group, oracle):
    """Real cells with labels dealt at random. Fools: classifier, r. Not: energy, MMD, gene means, coverage."""
    found = group.run(_changed(oracle, X=oracle.X[np.random.default_rng(1).permutation(oracle.X.shape[0])]))
    scaled = group.scaled(found.values)
    assert min(scaled["sim_c2st_new"], scaled["sim_correlation_new"]) > 0.85
    assert scaled["sim_energy_new"] < 0.5
    assert max(scaled["sim_mmd_new"], scaled["sim_gene_mean"]) < 0.6
    assert found.values["sim_coverage"] < np.mean(group.anchors["sim_coverage"]["ceiling"]) - 0.2


def test_one_type_for_all_does_not_pass(group):
    """Cells of the largest type under every label. Fools: nothing."""
    made = group.baseline("nb")
    rows = np.flatnonzero(made.cell_type == "Dendritic")
    X = made.X[np.random.default_rng(0).choice(rows, made.X.shape[0])]
    found = group.run(_changed(made, X))
    assert found.values["sim_rare_recall"] < 0.3
    assert max(group.scaled(found.values)[name] for name in HEADLINE) < 0.8


def test_a_cell_without_counts_is_counted_and_costs(group, oracle):
    X = oracle.X.toarray()
    X[::2] = 0
    found = group.run(_changed(oracle, X))
    assert any("88 generated cells have no count" in finding for finding in found.findings)
    assert group.scaled(found.values)["sim_c2st_new"] < 0.6


# -- what is refused ---------------------------------------------------------------------------------------------------


def _log(cells):
    cells.X = cells.X.log1p()


def _nan(cells):
    cells.X.data[3] = np.nan


def _negative(cells):
    cells.X.data[3] = -1


def _one_type(cells):
    cells.obs["cell_type"][:] = "Dendritic"


def _fewer(cells):
    keep = np.arange(cells.n_obs - 5)
    cells.X, cells.obs_names = cells.X[keep], cells.obs_names[keep]
    cells.obs = {name: values[keep] for name, values in cells.obs.items()}


def _genes_gone(cells):
    cells.X, cells.var_names = cells.X[:, :-2], cells.var_names[:-2]


def _other_ids(cells):
    cells.var_names = np.array([f"x{i}" for i in range(cells.n_vars)], object)


def _empty(cells):
    cells.X = cells.X * 0


def _no_types(cells):
    del cells.obs["cell_type"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_log, "log-normalised"),
        (_nan, "NaN"),
        (_negative, "negative"),
        (_one_type, "groups have too few cells: 0 of 'CD14"),
        (_fewer, "too few cells"),
        (_genes_gone, "2 of 765 genes of the view are absent"),
        (_other_ids, "765 of 765 genes"),
        (_empty, "no generated cell has any count"),
        (_no_types, "cell_type"),
    ],
)
def test_broken_outputs_are_refused_with_a_reason(group, oracle, tmp_path, change, said):
    write_result(tmp_path / "good.h5ad", group.view, oracle)
    cells = h5ad.read(tmp_path / "good.h5ad")
    change(cells)
    h5ad.write(tmp_path / "output.h5ad", cells)
    with pytest.raises(BadOutput, match=said):
        TASK.score(tmp_path / "output.h5ad", group.view, group.solution, group.plan, "sceval", False)


def test_more_cells_and_another_order_of_genes_are_put_right_and_told(group, oracle, tmp_path):
    extra = sparse.vstack([oracle.X, oracle.X[:4]], format="csr")
    kinds, batch = (np.concatenate([values, values[:4]]) for values in (oracle.cell_type, oracle.batch))
    write_result(tmp_path / "good.h5ad", group.view, Simulated(extra, kinds, batch))
    cells = h5ad.read(tmp_path / "good.h5ad")
    cells.X, cells.var_names = cells.X[:, ::-1].tocsr(), cells.var_names[::-1]
    h5ad.write(tmp_path / "output.h5ad", cells)
    found = TASK.score(tmp_path / "output.h5ad", group.view, group.solution, group.plan, "sceval", False)
    assert found.values["sim_energy"] == pytest.approx(group.run(oracle).values["sim_energy"])
    assert any("4 generated cells more" in finding for finding in found.findings)
    assert any("another order" in finding for finding in found.findings)
    found = group.run(Simulated(oracle.X, oracle.cell_type, None))
    assert any("names no batch" in finding for finding in found.findings)


# -- real data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pbmc3k", "sc_mixology_3tech"])
def test_real_data_put_controls_where_they_belong(tmp_path, name):
    path = REAL_DATA / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"../shared/data/{name}.h5ad is not here")
    data = h5ad.read(path)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(data.n_obs, 300, replace=False))
    genes = np.argsort(-np.asarray(data.X[rows].sum(axis=0)).ravel())[:300]
    small = CellFile(data.obs_names[rows], data.var_names[genes], X=sparse.csr_matrix(data.X[rows][:, genes]))
    small.obs = {"cell_type": data.obs["cell_type"][rows].astype(str).astype(object), "batch": data.obs["batch"][rows]}
    small.var = {"gene_symbol": small.var_names.copy(), "ensembl_id": np.full(300, "", object)}
    group = Group(small, tmp_path)
    good = group.scaled(group.run(TASK.oracle(group.view, group.solution, 0)).values)
    copied = group.run(group.baseline("bootstrap")).values
    for metric in HEADLINE:
        assert good[metric] == pytest.approx(1, abs=0.2), metric
        assert group.scaled(copied)[metric] == pytest.approx(0, abs=0.1), metric
    assert copied["sim_copied"] == 1
    assert group.scaled(copied)["sim_energy"] > 0.9
