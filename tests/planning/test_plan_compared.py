"""Does the second modality help: the same model on views of one modality, scored beside it on the same cells."""

from __future__ import annotations

from sceval.planning.plan import Settings, make_plan

CARD = {
    "tasks": ["multiomic_integration"],
    "second": "atac",
    "pairs": 100,
    "genes_of_second": 50,
    "gene_positions": True,
}


def _plan(card, model, info, **columns):
    models = [model("pca", kind="baseline"), model("random", kind="negative_control")]
    answers = {name: info({"embed-cells": ["scratch"]}) for name in ("pca", "random")}
    settings = Settings(tasks=("multiomic_integration",), seeds=1, control_seeds=1)
    return make_plan([card(**CARD | columns)], models, answers, settings)


def test_each_model_embeds_the_single_modalities_too_and_is_scored_in_the_paired_split(card, model, info):
    plan = _plan(card, model, info)
    rows = [
        row for row in plan.rows if row["split"] == "paired" and row["model"] == "pca" and row["status"] == "planned"
    ]
    assert [row["variant"] for row in rows] == [f"pca-scratch{end}" for end in ("", "-rna_only", "-other_only")]
    assert len({row["run_id"] for row in rows}) == 3
    views = {row["variant"]: plan.views[plan.runs[row["run_id"]]["view_id"]]["split"] for row in rows}
    assert list(views.values()) == ["paired", "rna_only", "other_only"]
    group = next(group for group in plan.groups if ".paired0" in group["view_id"])
    assert {row["run_id"] for row in rows} <= {run["run_id"] for run in group["runs"]}
    assert plan.views[group["view_id"]]["split"] == "paired"
    assert not any(row["variant"].endswith("_only") for row in plan.rows if row["kind"] == "negative_control")
    assert {row["split"] for row in plan.rows} == {"unpaired", "paired", "mosaic"}


def test_without_pairs_the_paired_splits_are_not_applicable_and_nothing_of_them_runs(card, model, info):
    plan = _plan(card, model, info, pairs=0)
    reasons = {row["split"]: row["reason"] for row in plan.rows if row["status"] == "not_applicable"}
    assert "pairs are needed" in reasons["paired"]
    assert "pairs are needed" in reasons["mosaic"]
    assert {view["split"] for view in plan.views.values()} == {"unpaired"}
