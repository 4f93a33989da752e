"""SCORE: one bad output never costs the others their scores, and controls stand where they must."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from sceval import tasks
from sceval.contract import CellFile, h5ad
from sceval.contract.results import Embedding, write_result
from sceval.contract.sample import take
from sceval.metrics.registry import METRICS, headline
from sceval.metrics.resampling import Plan, replicates
from sceval.models.controls import annotations, embeddings
from sceval.models.reference import reference
from sceval.models.request import Request
from sceval.planning.scaling import anchors_of, demotion, scaled_interval
from sceval.tasks.probe import probe
from sceval.tasks.scoring import score_group

INTEGRATION, ANNOTATION = tasks.get("batch_integration"), tasks.get("cell_type_annotation")


def _fast(task, R=5):
    """The same task with few replicates."""

    def plan(view, solution):
        whole = task.plan(view, solution)
        return replicates(whole.masks.shape[1], R=R)

    return dataclasses.replace(task, plan=plan)


def _score(task, view, solution, results: dict, folder, **more):
    for name, result in results.items():
        write_result(folder / "outputs" / name / "output.h5ad", view, result)
    runs = [{"run_id": name, "output_of": name, "picture": False} for name in [*results, *more.pop("also", ())]]
    verdicts = score_group(task, view, solution, runs, folder / "outputs", "sceval", folder / "scored", **more)
    assert json.loads((folder / "scored" / "verdicts.json").read_text()) == verdicts
    return verdicts, {path.stem: pd.read_parquet(path) for path in (folder / "scored").glob("*.parquet")}


# -- controls on the embedded cells -----------------------------------------------------------------------------------


def _scaled(tables: dict, kinds: dict[str, str]) -> pd.DataFrame:
    """The two-anchor scale of COLLECT for runs called `<variant>:<seed>`."""
    values = tables["values"].copy()
    values["variant"] = values["run_id"].str.split(":").str[0] + "-scratch"
    values["kind"] = values["variant"].map({f"{name}-scratch": kind for name, kind in kinds.items()})
    measured = tables.get("anchors", pd.DataFrame(columns=["metric", "anchor", "value"]))
    rows = []
    for metric in values["metric"].unique():
        zero, one = anchors_of(metric, values, measured)
        for row in values[values["metric"] == metric].itertuples():
            scaled = scaled_interval(row.value, 0.0, zero, one, 2.0)[0]
            rows.append((metric, row.variant, row.kind, row.value, scaled, demotion(metric, values)))
    return pd.DataFrame(rows, columns=["metric", "variant", "kind", "value", "scaled", "demoted"])


def _request(view, seed=0, **params):
    return Request(view, "scratch", params, seed, "cpu")


@pytest.fixture(scope="module")
def integrated(integration, tmp_path_factory):
    view, solution = integration
    results = {}
    for seed in range(3):
        results[f"oracle:{seed}"] = INTEGRATION.oracle(view, solution, seed)
        results[f"random:{seed}"] = Embedding(embeddings.random(_request(view, seed)))
    results["onehot:0"] = Embedding(embeddings.batch_onehot(_request(view)))
    results["depth:0"] = Embedding(embeddings.log_total(_request(view)))
    results["pca:0"] = Embedding(solution.obsm["X_pre"])
    folder = tmp_path_factory.mktemp("integration")
    _, tables = _score(_fast(INTEGRATION), view, solution, results, folder)
    kinds = {"oracle": "positive_control", "pca": "baseline"}
    kinds |= dict.fromkeys(("random", "onehot", "depth"), "negative_control")
    return _scaled(tables, kinds), tables


@pytest.fixture(scope="module")
def annotated(annotation, integration, tmp_path_factory):
    view, solution = annotation
    results = {}
    for seed in range(3):
        results[f"oracle:{seed}"] = ANNOTATION.oracle(view, solution, seed)
        request = _request(view, seed)
        results[f"random:{seed}"] = annotations.stratified_random(request, reference(request))
    request = _request(view)
    results["majority:0"] = annotations.majority(request, reference(request))
    results["depth:0"] = annotations.log_total(request, reference(request))
    results["pca:0"] = probe(view, integration[1].obsm["X_pre"])[0]
    folder = tmp_path_factory.mktemp("annotation")
    _, tables = _score(_fast(ANNOTATION), view, solution, results, folder)
    kinds = {"oracle": "positive_control", "pca": "baseline"}
    kinds |= dict.fromkeys(("random", "majority", "depth"), "negative_control")
    return _scaled(tables, kinds), tables


def _headline(scaled: pd.DataFrame, task: str) -> pd.DataFrame:
    """Scores that make the rank: headline metrics that no blind control has demoted."""
    names = [metric.id for metric in headline(task)]
    kept = scaled[scaled["metric"].isin(names) & (scaled["demoted"] == "")]
    assert len(set(kept["metric"])) >= 2
    return kept


@pytest.mark.parametrize("which", ["integrated", "annotated"])
def test_positive_controls_are_near_1_and_negative_ones_near_0_on_headline_metrics(which, request):
    """The rule of docs/scoring.md, on the embedded cells with the planted effect of strength 1."""
    scaled, _tables = request.getfixturevalue(which)
    kept = _headline(scaled, {"integrated": "batch_integration", "annotated": "cell_type_annotation"}[which])
    positive, negative = (kept[kept["kind"] == f"{sign}_control"] for sign in ("positive", "negative"))
    assert positive["scaled"].between(0.9, 1.1).all(), positive
    assert (negative["scaled"] < 0.1).all(), negative  # worse than the best blind control is under 0, never clipped
    best = negative.groupby(["metric", "variant"])["scaled"].mean().groupby("metric").max()
    assert best.between(-0.05, 0.05).all(), best
    honest = kept[kept["kind"] == "baseline"]
    assert honest["scaled"].between(0.1, 0.95).all(), honest  # and a real method stands between them


def test_oracles_are_good_before_any_scaling(integrated, annotated):
    """Scaled values of an oracle that is its own anchor are 1 whatever it does; these are not."""
    value = integrated[0][integrated[0]["kind"] == "positive_control"].groupby("metric")["value"].min()
    assert value[["nmi", "ari", "gc_scib", "isolated_f1"]].min() > 0.95
    assert value["s_final"] > 0.9
    assert value["pcr"] > 0.9
    value = annotated[0][annotated[0]["kind"] == "positive_control"].groupby("metric")["value"].agg(["min", "max"])
    assert value.loc["accuracy", "min"] > 0.95
    assert value.loc["macro_f1", "min"] > 0.9
    assert value.loc["log_loss", "max"] < 0.25


def test_batch_removal_is_anchored_between_unintegrated_and_permuted(integrated):
    anchors = integrated[1]["anchors"]
    mean = anchors.groupby(["metric", "anchor"])["value"].mean().unstack()
    assert anchors[anchors["anchor"] == "permuted"].groupby("metric").size().eq(20).all()
    for metric in [name for name in mean.index if METRICS[name].anchors.startswith("unintegrated")]:
        assert mean.loc[metric, "permuted"] > mean.loc[metric, "unintegrated"] + 0.03, metric
    assert mean.loc["pcr", "unintegrated"] == 0.0
    assert 0.9 < mean.loc["pcr", "permuted"] < 1.0


def test_pcr_permuted_is_the_variance_explained_before_against_that_of_permuted_batches(integration):
    """By least squares on batch indicators, dimension by dimension, instead of the sums that the package uses."""
    view, solution = integration
    pre = solution.obsm["X_pre"].astype(float)

    def explained(batch):
        design = np.column_stack([batch == name for name in sorted(set(batch))]).astype(float)
        fitted = design @ np.linalg.lstsq(design, pre, rcond=None)[0]
        return fitted.var(axis=0).sum() / pre.var(axis=0).sum()

    batch, labels = solution.obs["batch"], solution.obs["cell_type"].astype(str)
    permuted = batch.copy()
    rng = np.random.default_rng(0)
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        permuted[rows] = permuted[rng.permutation(rows)]
    expected = 1 - explained(permuted) / explained(batch)
    assert INTEGRATION.anchors(view, solution)["pcr"]["permuted"][0] == pytest.approx(expected, abs=1e-6)


def test_pcr_anchors_are_undefined_where_there_is_no_effect(integration):
    view, solution = integration
    blind = CellFile(solution.obs_names, obs=dict(solution.obs), obsm=dict(solution.obsm), uns=solution.uns)
    blind.obs["batch"] = np.array([f"b{i}" for i in np.random.default_rng(0).permutation(700) % 3], object)
    found = INTEGRATION.anchors(view, blind)["pcr"]
    assert np.isnan(found["unintegrated"] + found["permuted"]).all()


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(planted):
    rows = np.random.default_rng(0).permutation(700)[:120]
    return INTEGRATION.prepare(take(planted, np.sort(rows)), None, "d", "all", 0)


def test_a_bad_output_is_refused_and_the_others_are_scored_as_without_it(small, tmp_path):
    view, solution = small
    good = {"a": Embedding(solution.obsm["X_pre"]), "z": INTEGRATION.oracle(view, solution, 0)}
    _, alone = _score(_fast(INTEGRATION), view, solution, good, tmp_path / "alone")
    folder = tmp_path / "mixed"
    for name, content in (("garbage", b"not HDF5"), ("empty", b"")):
        (folder / "outputs" / name).mkdir(parents=True)
        (folder / "outputs" / name / "output.h5ad").write_bytes(content)
    mixed = {"a": good["a"], "constant": Embedding(np.ones((120, 2))), "z": good["z"]}
    verdicts, tables = _score(_fast(INTEGRATION), view, solution, mixed, folder, also=("garbage", "empty", "absent"))
    assert {name for name, verdict in verdicts.items() if verdict["ok"]} == {"a", "z"}
    assert "absent" not in verdicts  # it never ran: its record says why
    assert verdicts["constant"]["reason"] == "bad_output: the embedding is constant: every cell has the same vector"
    assert verdicts["garbage"]["reason"].startswith("bad_output: output: found a file that cannot be read")
    pd.testing.assert_frame_equal(tables["values"], alone["values"])
    pd.testing.assert_frame_equal(tables["replicates"], alone["replicates"])
    errors = tables["findings"][tables["findings"]["level"] == "error"]
    assert set(errors["run_id"]) == {"constant", "garbage", "empty"}


def test_a_fault_in_scoring_or_in_the_anchors_is_isolated(small, tmp_path):
    view, solution = small

    def score(path, *rest):
        if path.parent.name == "b":
            msg = "a metric broke"
            raise ZeroDivisionError(msg)
        return INTEGRATION.score(path, *rest)

    def anchors(_view, _solution):
        msg = "no anchor today"
        raise RuntimeError(msg)

    task = dataclasses.replace(_fast(INTEGRATION), score=score, anchors=anchors)
    results = {name: Embedding(solution.obsm["X_pre"]) for name in "abc"}
    verdicts, tables = _score(task, view, solution, results, tmp_path)
    assert verdicts["b"] == {"ok": False, "reason": "error: scoring failed (ZeroDivisionError: a metric broke)"}
    assert set(tables["values"]["run_id"]) == {"a", "c"}
    assert "anchors" not in tables
    said = tables["findings"][tables["findings"]["run_id"] == ""]["finding"].iloc[0]
    assert "nothing is scaled (RuntimeError: no anchor today)" in said


def test_permuted_outputs_get_the_same_scores_and_a_finding(small, tmp_path):
    view, solution = small
    X = solution.obsm["X_pre"]
    order = np.random.default_rng(2).permutation(120)
    path = tmp_path / "outputs" / "turned" / "output.h5ad"
    path.parent.mkdir(parents=True)
    h5ad.write(path, CellFile(view.obs_names[order], obsm={"X_emb": X[order]}))
    _, tables = _score(_fast(INTEGRATION), view, solution, {"plain": Embedding(X)}, tmp_path, also=("turned",))
    wide = tables["values"].pivot(index="metric", columns="run_id", values="value")
    pd.testing.assert_series_equal(wide["plain"], wide["turned"], check_names=False)
    findings = tables["findings"]
    assert findings.loc[findings["run_id"] == "turned", "finding"].str.contains("order was restored").any()


def test_the_standard_deviation_of_replicates_is_the_standard_error(small, tmp_path):
    """The rescaled replicates of the table: centered on the value, spread by the scale of the plan."""
    view, solution = small
    plan = INTEGRATION.plan(view, solution)
    _, tables = _score(INTEGRATION, view, solution, {"a": Embedding(solution.obsm["X_pre"])}, tmp_path)
    scored = INTEGRATION.score(tmp_path / "outputs" / "a" / "output.h5ad", view, solution, plan, "sceval", False)
    table = tables["replicates"].set_index("metric")["value"]
    for metric in ("nmi", "asw_label", "s_final"):
        assert table[metric].mean() == pytest.approx(scored.values[metric])
        assert table[metric].std(ddof=1) == pytest.approx(plan.scale * np.std(scored.replicates[metric], ddof=1))


def test_a_metric_with_few_replicates_gets_none(small, tmp_path):
    view, solution = small

    def score(*given):
        scored = INTEGRATION.score(*given)
        scored.replicates["nmi"][1:] = np.nan
        return scored

    task = dataclasses.replace(_fast(INTEGRATION), score=score)
    _, tables = _score(task, view, solution, {"a": Embedding(solution.obsm["X_pre"])}, tmp_path)
    assert "nmi" not in set(tables["replicates"]["metric"])
    assert "ari" in set(tables["replicates"]["metric"])
    assert "nmi" in set(tables["values"]["metric"])


def test_pictures_are_laid_out_where_asked_for(small, tmp_path):
    view, solution = small
    write_result(tmp_path / "a" / "output.h5ad", view, Embedding(solution.obsm["X_pre"]))
    runs = [{"run_id": name, "output_of": "a", "picture": name == "a"} for name in ("a", "b")]
    score_group(_fast(INTEGRATION), view, solution, runs, tmp_path, "sceval", tmp_path / "scored")
    layout = pd.read_parquet(tmp_path / "scored" / "layout.parquet")
    assert set(layout["run_id"]) == {"a"}
    assert layout["cell"].tolist() == view.obs_names.tolist()
    assert np.isfinite(layout[["x", "y"]]).all().all()
    assert layout["cell_type"].tolist() == solution.obs["cell_type"].tolist()


def test_annotation_tables_count_cells_and_training_cells(annotated, annotation):
    view, solution = annotation
    tables = annotated[1]
    test = solution.obs["part"] == "test"
    mine = tables["per_class"][tables["per_class"]["run_id"] == "pca:0"].set_index("cell_type")
    for name in set(solution.obs["cell_type"]):
        assert mine.loc[name, "n_test"] == int(np.sum(test & (solution.obs["cell_type"] == name)))
        assert mine.loc[name, "n_train"] == int(np.sum(view.obs["cell_type"] == name))
    assert not mine["in_macro"].all()  # the smallest types have too few test cells
    assert (mine["in_macro"] == (mine["n_test"] >= 20)).all()
    confusion = tables["confusion"]
    assert confusion[confusion["run_id"] == "pca:0"]["n"].sum() == test.sum()
    right = confusion[(confusion["run_id"] == "pca:0") & (confusion["truth"] == confusion["prediction"])]["n"].sum()
    values = tables["values"].set_index(["run_id", "metric"])["value"]
    assert right / test.sum() == pytest.approx(values["pca:0", "accuracy"])


def test_the_annotation_plan_covers_test_cells_only(annotation):
    view, solution = annotation
    plan = ANNOTATION.plan(view, solution)
    assert isinstance(plan, Plan)
    assert plan.masks.shape[1] == int((solution.obs["part"] == "test").sum())
    assert plan.unit == "cell"  # three batches are too few to leave out
