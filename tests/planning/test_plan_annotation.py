"""The plan of the splits of cell type annotation: which dataset carries which, and which views have a query."""

from __future__ import annotations

import pytest

from sceval.data.needs import split_reason
from sceval.planning.plan import Settings, make_plan

ONE = Settings(tasks=("cell_type_annotation",), seeds=1, control_seeds=1)


def _views(plan) -> dict[str, dict]:
    return {view["split"]: view for view in plan.views.values() if view["task"] == "cell_type_annotation"}


@pytest.mark.parametrize(("mine", "theirs"), [("human", "mouse"), ("mouse", "human")])
def test_a_query_of_another_organism_is_the_test_part_of_cross_species_alone(card, model, info, mine, theirs):
    """The view is one of human genes in both directions, so that a model of human genes runs."""
    first = card("d", query="q", organism=mine, query_organism=theirs)
    other = card("q", organism=theirs, gene_symbols=["X", "Y"], ensembl_ids=["", ""])
    answers = {"m": info({"embed-cells": ["scratch"], "annotate": ["scratch"]}, organisms=["human"])}
    plan = make_plan([first, other], [model("m")], answers, ONE)
    views = _views(plan)
    assert views["cross_species"]["query"] == "q"
    assert views["cross_species"]["query_row"]["path"] == "q.h5ad"
    crossed = [row for row in plan.rows if row["split"] == "cross_species" and row["dataset"] == "d"]
    assert {row["status"] for row in crossed if row["model"] == "m"} == {"planned"}
    embedding = plan.runs[next(row["needs"] for row in crossed if row["needs"])]
    assert embedding["view_id"] == "d.cell_type_annotation.cross_species0"  # the query's cells are in no other view
    inter = [row for row in plan.rows if row["split"] == "inter" and row["dataset"] == "d" and row["model"] == "m"]
    assert {row["status"] for row in inter} == ({"planned"} if mine == "human" else {"not_applicable"})
    if mine == "human":
        assert views["inter"]["query"] == ""  # its own batches are held out


def test_each_dataset_may_name_the_other_as_its_query(card, model, info):
    cards = [card("a", query="b", query_organism="human"), card("b", query="a", query_organism="human")]
    plan = make_plan(cards, [model("m")], {"m": info({"annotate": ["scratch"]})}, ONE)
    queries = {view["dataset"]: view["query"] for view in plan.views.values() if view["split"] == "inter"}
    assert queries == {"a": "b", "b": "a"}


def test_splits_say_what_a_dataset_lacks(card):
    task = "cell_type_annotation"
    assert "names no query dataset" in split_reason(card(), task, "cross_species")
    same = card(query="q", query_organism="human")
    assert "the split for that is `inter`" in split_reason(same, task, "cross_species")
    assert split_reason(card(query="q", query_organism="mouse"), task, "cross_species") == ""
    assert "3 types, the largest with 4 cells" in split_reason(card(), task, "unseen_type")
    large = card(cells_per_type={"t": 40, "u": 40, "v": 40})
    assert split_reason(large, task, "unseen_type") == ""
    assert split_reason(large, task, "few_20") == ""
    assert "0 of 3 types have more than 50" in split_reason(large, task, "few_50")
    alone = card(n_batches=1, query="q", query_organism="mouse")
    assert "fewer than two" in split_reason(alone, task, "inter")
