from __future__ import annotations

from collections import Counter

import pytest

from sceval.contract import tables
from sceval.planning.plan import Settings, make_plan, variant_name

SMALL = Settings(seeds=2, control_seeds=3)
FULL = {
    "embed-cells": ["zero_shot", "scratch", "probe"],
    "integrate": ["finetune", "scratch"],
    "annotate": ["finetune", "scratch"],
}


def _rows(plan, **wanted):
    return [row for row in plan.rows if all(row[key] == value for key, value in wanted.items())]


def _check(plan):
    """Hold what is true of every plan."""
    tables.frame("plan", plan.rows)
    ids = [row["run_id"] for row in plan.rows]
    assert len(ids) == len(set(ids)), [name for name, n in Counter(ids).items() if n > 1]
    planned = [row for row in plan.rows if row["status"] == "planned"]
    assert set(plan.runs) == {row["run_id"] for row in planned}
    for row in planned:
        run = plan.runs[row["run_id"]]
        assert run["view_id"] in plan.views
        assert row["needs"] == "" or plan.runs[row["needs"]]["verb"] == "embed-cells"
    for row in plan.rows:
        assert (row["status"] == "planned") == (not row["reason"])
    scored = [run["run_id"] for group in plan.groups for run in group["runs"]]
    assert sorted(scored) == sorted(row["run_id"] for row in planned if row["output_of"])
    names = [group["group_id"] for group in plan.groups]
    assert len(names) == len(set(names))


def test_every_regime_has_a_row_and_a_shared_embedding_is_planned_once(card, model, info):
    plan = make_plan([card()], [model("m", weights="w")], {"m": info(FULL, needs_weights=["zero_shot"])}, SMALL)
    _check(plan)
    integration = _rows(plan, task="batch_integration", model="m", status="planned")
    assert Counter(row["regime"] for row in integration) == {"zero_shot": 2, "finetune": 2, "scratch": 2}
    assert {row["verb"] for row in integration if row["regime"] == "scratch"} == {"integrate"}
    probes = _rows(plan, task="cell_type_annotation", regime="probe")
    assert len(probes) == 4  # intra and inter, two seeds
    shared = {row["seed"]: row["run_id"] for row in _rows(plan, task="batch_integration", regime="zero_shot")}
    for row in probes:
        assert row["needs"] == shared[row["seed"]]
        assert row["verb"] == "probe"
    assert plan.runs[shared[0]]["weights"] == "w"
    assert all(plan.runs[row["run_id"]]["weights"] == "" for row in probes)
    reasons = {row["regime"]: row["reason"] for row in plan.rows if row["status"] == "not_applicable"}
    assert "would not move the embedding" in reasons["probe"]
    assert "that is the regime probe" in reasons["zero_shot"]


def test_an_embedding_is_planned_for_a_probe_also_where_integration_is_not_asked_for(card, model, info):
    settings = Settings(tasks=("cell_type_annotation",), splits=("intra",), seeds=2, control_seeds=1)
    plan = make_plan([card(n_batches=1)], [model("pca")], {"pca": info({"embed-cells": ["scratch"]})}, settings)
    _check(plan)
    made = _rows(plan, verb="embed-cells")
    assert [row["seed"] for row in made] == [0, 1]
    assert all(row["output_of"] == "" and row["task"] == "batch_integration" for row in made)
    assert {group["task"] for group in plan.groups} == {"cell_type_annotation"}
    assert [row["needs"] for row in _rows(plan, regime="probe")] == [row["run_id"] for row in made]


def test_a_shared_embedding_never_has_the_id_of_another_run(card, model, info):
    """The model integrates from scratch, and its probe reads its embedding from scratch: two runs, two ids."""
    answers = {"m": info({"embed-cells": ["scratch", "probe"], "integrate": ["scratch"]})}
    plan = make_plan([card()], [model("m")], answers, SMALL)
    _check(plan)
    assert Counter(row["verb"] for row in _rows(plan, task="batch_integration", model="m", status="planned")) == {
        "integrate": 2,
        "embed-cells": 2,
    }
    alone = make_plan([card(n_batches=1)], [model("m")], answers, SMALL)  # integration is not applicable here
    _check(alone)
    assert _rows(alone, verb="embed-cells")


def test_deterministic_models_get_one_seed_and_controls_get_more(card, model, info):
    models = [
        model("m"),
        model("fixed"),
        model("declared", deterministic="yes"),
        model("random", kind="negative_control"),
    ]
    answers = {name: info({"embed-cells": ["scratch"]}) for name in ("m", "declared", "random")}
    answers["fixed"] = info({"embed-cells": ["scratch"]}, deterministic=True)
    plan = make_plan([card(tasks=["batch_integration"])], models, answers, SMALL)
    _check(plan)
    seeds = Counter(row["model"] for row in _rows(plan, status="planned"))
    assert seeds == {"m": 2, "fixed": 1, "declared": 1, "random": 3, "oracle": 3}


def test_a_program_that_does_not_answer_is_failed_everywhere_and_others_run(card, model, info):
    answers = {"bad": {"error": "its image could not be started"}, "m": info({"embed-cells": ["scratch"]})}
    plan = make_plan([card()], [model("bad"), model("m")], answers, SMALL)
    _check(plan)
    bad = _rows(plan, model="bad")
    possible = [row for row in bad if row["split"] in ("all", "intra", "inter")]
    assert {row["status"] for row in possible} == {"failed"}
    assert {row["split"] for row in possible} == {"all", "intra", "inter"}
    assert {row["status"] for row in bad if row not in possible} == {"not_applicable"}  # not for this dataset
    assert bad[0]["reason"] == "error: the program does not answer `info`: its image could not be started"
    assert _rows(plan, model="m", status="planned")


def test_reasons_of_datasets_reach_every_model_and_no_oracle_is_planned(card, model, info):
    answers = {"m": info({"embed-cells": ["scratch"]})}
    plan = make_plan([card(n_batches=1, cells_per_batch={"a": 10})], [model("m")], answers, SMALL)
    _check(plan)
    lacking = _rows(plan, task="batch_integration", status="not_applicable")
    assert "one batch only (a)" in lacking[0]["reason"]
    assert not _rows(plan, task="batch_integration", model="oracle")
    inter = _rows(plan, split="inter")
    assert [row["status"] for row in inter] == ["not_applicable"]
    assert "names no query dataset" in inter[0]["reason"]
    held = make_plan([card(n_batches=1, query="q"), card("q")], [model("m")], answers, SMALL)
    assert _rows(held, dataset="d", split="inter", status="planned")
    view = next(view for view in held.views.values() if view["dataset"] == "d" and view["split"] == "inter")
    assert (view["query"], view["query_path"]) == ("q", "q.h5ad")
    assert next(view for view in held.views.values() if view["split"] == "intra")["query"] == ""


@pytest.mark.parametrize(
    ("fields", "columns", "reason"),
    [
        ({"needs_weights": ["scratch"]}, {}, "starts from pre-trained weights"),
        ({"organisms": ["mouse"]}, {}, "the dataset is human"),
        ({"matrix": ["lognorm"]}, {}, "the dataset holds counts"),
    ],
)
def test_reasons_of_models_stand_in_the_plan(card, model, info, fields, columns, reason):
    plan = make_plan([card(**columns)], [model("m")], {"m": info({"embed-cells": ["scratch"]}, **fields)}, SMALL)
    _check(plan)
    assert not _rows(plan, model="m", status="planned")
    assert reason in _rows(plan, model="m", task="batch_integration")[0]["reason"]
    assert reason in _rows(plan, model="m", regime="probe", split="intra")[0]["reason"]


def test_weights_and_their_licence_stand_with_the_runs_that_start_from_them(card, model, info):
    answers = {"m": info({"embed-cells": ["zero_shot", "scratch"]}, needs_weights=["zero_shot"])}
    row = model("m", weights="w", weights_licence="Research only (no commercial use)", fetch_weights=True)
    plan = make_plan([card()], [row], answers, SMALL)
    embedded = _rows(plan, model="m", regime="zero_shot", status="planned")
    assert {(r["weights"], r["weights_licence"]) for r in embedded} == {("w", "Research only (no commercial use)")}
    assert {plan.runs[r["run_id"]]["fetch"] for r in embedded} == {True}
    others = [r for r in _rows(plan, status="planned") if r not in embedded]
    assert {(r["weights"], r["weights_licence"], plan.runs[r["run_id"]]["fetch"]) for r in others} == {("", "", False)}


def test_log_normalised_data_is_not_applicable_to_models_that_need_counts(card, model, info):
    answers = {"m": info({"embed-cells": ["scratch"]}), "any": info({"embed-cells": ["scratch"]}, matrix=["lognorm"])}
    plan = make_plan([card(matrix="lognorm")], [model("m"), model("any")], answers, SMALL)
    assert {row["status"] for row in _rows(plan, model="m")} == {"not_applicable"}
    assert _rows(plan, model="any", status="planned")


def test_too_few_genes_recognised_is_a_reason_for_the_probe_too(card, model, info):
    answer = info({"embed-cells": ["zero_shot"]}, genes={"A"}, min_genes_recognised=0.5)
    plan = make_plan([card()], [model("m")], {"m": answer}, SMALL)
    for row in _rows(plan, model="m", regime="probe"):
        assert row["status"] == "not_applicable"
    assert "25.0%" in _rows(plan, regime="probe", split="intra")[0]["reason"]
    assert "25.0%" in _rows(plan, task="batch_integration", regime="zero_shot")[0]["reason"]
    assert not _rows(plan, verb="embed-cells")


def test_a_probe_without_the_weights_of_its_embedding_is_not_applicable(card, model, info):
    """The probe itself needs none; the embedding that it reads does, and is never made from random weights."""
    answer = info({"embed-cells": ["zero_shot", "scratch", "probe"]}, needs_weights=["zero_shot"])
    plan = make_plan([card()], [model("m")], {"m": answer}, SMALL)
    _check(plan)
    assert {row["status"] for row in _rows(plan, regime="probe")} == {"not_applicable"}
    assert any("zero_shot starts from pre-trained weights" in row["reason"] for row in _rows(plan, regime="probe"))


def test_tasks_splits_regimes_and_split_seeds_restrict_and_controls_stay(card, model, info):
    models = [model("m"), model("random", kind="negative_control", regimes=["scratch"])]
    answers = {"m": info(FULL), "random": info({"embed-cells": ["scratch"], "annotate": ["scratch"]})}
    settings = Settings(splits=("intra",), regimes=("finetune",), seeds=1, control_seeds=1, split_seeds=3)
    plan = make_plan([card()], models, answers, settings)
    _check(plan)
    assert {row["regime"] for row in _rows(plan, model="m")} == {"finetune"}
    assert _rows(plan, model="random", task="batch_integration", status="planned")  # else there would be no anchor
    assert _rows(plan, model="random", task="cell_type_annotation", status="planned")
    assert {row["split"] for row in plan.rows} == {"all", "intra"}
    assert sorted({row["split_seed"] for row in _rows(plan, split="intra")}) == [0, 1, 2]
    assert {row["split_seed"] for row in _rows(plan, split="all")} == {0}
    only = make_plan([card(tasks=["batch_integration"])], models, answers, Settings(tasks=("cell_type_annotation",)))
    assert only.rows == []


def test_a_control_that_has_nothing_for_a_task_leaves_no_row(card, model, info):
    models = [model("majority", kind="negative_control", verbs=["annotate"]), model("m", verbs=["annotate"])]
    answers = {name: info({"annotate": ["scratch"]}) for name in ("majority", "m")}
    plan = make_plan([card()], models, answers, SMALL)
    assert not _rows(plan, model="majority", task="batch_integration")
    assert "no integrate" in _rows(plan, model="m", task="batch_integration")[0]["reason"]


@pytest.mark.parametrize(("size", "groups"), [(0, 1), (1, 5), (2, 3), (5, 1), (9, 1)])
def test_scoring_in_chunks_covers_every_run_once(card, model, info, size, groups):
    settings = Settings(seeds=2, control_seeds=3, score_batch=size)
    plan = make_plan(
        [card(tasks=["batch_integration"])], [model("m")], {"m": info({"embed-cells": ["scratch"]})}, settings
    )
    _check(plan)
    assert len(plan.groups) == groups
    assert len({group["view_id"] for group in plan.groups}) == 1


def test_pictures_are_made_once_for_a_variant(card, model, info):
    plan = make_plan([card()], [model("m")], {"m": info({"embed-cells": ["scratch"]})}, SMALL)
    pictures = [run["run_id"] for group in plan.groups for run in group["runs"] if run["picture"]]
    by_id = {row["run_id"]: row for row in plan.rows}
    shown = Counter((by_id[name]["task"], by_id[name]["split"], by_id[name]["variant"]) for name in pictures)
    assert set(shown.values()) == {1}
    assert len(shown) == len({(r["task"], r["split"], r["variant"]) for r in plan.rows if r["output_of"]})


def test_resources_gpu_and_images(card, model, info):
    answers = {
        "need": info({"embed-cells": ["scratch"]}, gpu="required", memory_mb=9000),
        "may": info({"embed-cells": ["scratch"]}, gpu="optional"),
    }
    images = {"batch_integration": "img/task"}
    for device, may in (("auto", 0), ("cuda", 1)):
        settings = Settings(seeds=1, control_seeds=1, device=device, memory_mb=2000, task_images=images)
        plan = make_plan([card(tasks=["batch_integration"])], [model("need"), model("may")], answers, settings)
        runs = {run["image"]: run for run in plan.runs.values()}
        assert (runs["img/need"]["gpu"], runs["img/need"]["memory_mb"]) == (1, 9000)
        assert (runs["img/may"]["gpu"], runs["img/may"]["memory_mb"]) == (may, 2000)
        assert runs["img/task"]["needs_solution"] is True
        assert runs["img/task"]["program"] == "sceval-task"
        assert runs["img/may"]["program"] == "sceval-model"
        assert runs["img/may"]["needs_solution"] is False


def test_a_view_carries_how_its_file_is_read_and_nothing_that_would_make_it_anew(card, model, info):
    answers = {"m": info({"annotate": ["scratch"]})}
    first, second = card("d", query="q"), card("q")
    views = make_plan([first, second], [model("m")], answers, SMALL).views
    view = views["d.cell_type_annotation.inter0"]
    assert (view["row"]["path"], view["row"]["batch_key"], view["query_row"]["path"]) == ("d.h5ad", "batch", "q.h5ad")
    assert views["d.cell_type_annotation.intra0"]["query_row"] == {}
    first["sheet_row"] |= {"title": "Another title", "notes": "n", "row": 7}
    assert make_plan([first, second], [model("m")], answers, SMALL).views == views
    first["sheet_row"]["label_key"] = "other"
    assert make_plan([first, second], [model("m")], answers, SMALL).views != views


def test_variants_tell_apart_what_differs_from_the_row():
    assert variant_name("m", "scratch", {"a": 1}, {"a": 1}) == "m-scratch"
    changed = variant_name("m", "scratch", {"a": 2}, {"a": 1})
    assert changed.startswith("m-scratch-")
    assert changed != variant_name("m", "scratch", {"a": 3}, {"a": 1})
