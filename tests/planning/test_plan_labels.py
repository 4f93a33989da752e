"""Integration with labels has a split of its own: who uses labels runs there alone."""

from __future__ import annotations

from sceval.planning.plan import Settings, make_plan

ONE = Settings(tasks=("batch_integration",), seeds=1, control_seeds=1)


def _status(plan, model: str) -> dict[str, tuple[str, str]]:
    return {row["split"]: (row["status"], row["reason"]) for row in plan.rows if row["model"] == model}


def test_models_that_use_labels_run_on_the_split_that_shows_some_and_nowhere_else(card, model, info):
    models = [
        model("scanvi"),
        model("scvi"),
        model("scgpt", params={"use_labels": True}),
        model("plain", params={"use_labels": False}),
        model("random", kind="negative_control", regimes=["scratch"]),
    ]
    integrates = {"integrate": ["scratch"]}
    answers = {
        "scanvi": info(integrates, uses_labels=["integrate"]),
        "scvi": info(integrates),
        "scgpt": info(integrates, uses_labels=["annotate"], params={"use_labels": {}}),
        "plain": info(integrates, params={"use_labels": {}}),
        "random": info({"embed-cells": ["scratch"]}),
    }
    plan = make_plan([card()], models, answers, ONE)
    for name in ("scanvi", "scgpt"):
        found = _status(plan, name)
        assert found["with_labels"] == ("planned", "")
        assert found["all"][0] == "not_applicable"
        assert "that is the split with_labels" in found["all"][1]
    for name in ("scvi", "plain"):
        assert _status(plan, name) == {"all": ("planned", "")}
    for name in ("random", "oracle"):  # the anchors of both
        assert {status for status, _ in _status(plan, name).values()} == {"planned"}
        assert set(_status(plan, name)) == {"all", "with_labels"}
    assert {view["split"] for view in plan.views.values()} == {"all", "with_labels"}
    assert len(plan.groups) == 2


def test_without_such_a_model_the_split_is_made_only_where_it_is_asked_for_and_says_why_not(card, model, info):
    answers = {"scvi": info({"integrate": ["scratch"]})}
    plan = make_plan([card()], [model("scvi")], answers, ONE)
    assert {row["split"] for row in plan.rows} == {"all"}
    asked = Settings(tasks=("batch_integration",), splits=("with_labels",), seeds=1, control_seeds=1)
    plan = make_plan([card()], [model("scvi")], answers, asked)
    assert _status(plan, "scvi") == {
        "with_labels": ("not_applicable", "no model of the sheet learns from labels in this task")
    }
