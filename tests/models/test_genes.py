"""Genes of a view in a model's vocabulary: facts, warnings, thresholds, organisms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile
from sceval.models.genes import organism_reason, recognise, share_recognised
from sceval.models.request import Info, NotApplicable, Request

INFO = Info("m", "M", "1", ("embed-cells",), {"embed-cells": ("zero_shot",)}, min_genes_recognised=0.5)
SYMBOLS = ["ACTB", "ATP5E", "Q1", "Q2"]


def request(symbols: list[str], organism: str = "human", **params) -> Request:
    names = np.array([f"g{i}" for i in range(len(symbols))], object)
    view = CellFile(np.array(["c"], object), names, X=sparse.csr_matrix((1, len(symbols))))
    view.var = {"gene_symbol": np.array(symbols, object), "ensembl_id": np.full(len(symbols), "", object)}
    view.uns["sceval"] = {"organism": organism, "matrix": "counts"}
    return Request(view, "zero_shot", params, 0, "cpu")


def test_what_was_found_goes_into_facts_and_warnings():
    asked = request(SYMBOLS)
    found = recognise(asked, {"ACTB", "ATP5F1E"}, INFO)
    assert found.names == ["ACTB", "ATP5F1E", None, None]
    assert asked.facts == {"genes_recognised": 0.5, "genes_found": {"exact": 1, "previous": 1}}
    assert "1 by previous symbol" in asked.warnings[0]


def test_below_the_threshold_it_is_not_applicable_with_the_share():
    asked = request(SYMBOLS, gene_names="exact")
    with pytest.raises(NotApplicable, match=r"recognises 25\.0% of the 4 genes; at least 50% are needed .*'ACTB'"):
        recognise(asked, {"ACTB", "ATP5F1E"}, INFO)
    assert asked.facts["genes_recognised"] == 0.25
    with pytest.raises(NotApplicable, match="knows none of the 1 genes"):
        recognise(request(["Q1"]), {"ACTB"}, Info("m", "M", "1", ("embed-cells",), {}))


@pytest.mark.parametrize(
    ("regime", "params", "told"),
    [
        ("zero_shot", {}, 'with params {"orthologues": true}'),
        ("zero_shot", {"orthologues": True}, ""),
        ("scratch", {}, ""),
    ],
)
def test_mouse_cells_and_a_human_model(regime, params, told):
    info = {"organisms": ["human"], "needs_weights": ["zero_shot"], "params": {"orthologues": {}}}
    reason = organism_reason(info, params, "mouse", regime)
    assert (told in reason and "knows human only" in reason) if told else reason == ""


def test_a_parameter_that_the_model_lacks_is_not_offered():
    assert organism_reason({"organisms": ["human"]}, {}, "mouse", "scratch").endswith("the dataset is mouse")
    assert "knows mouse only" in organism_reason({"organisms": ["mouse"]}, {"orthologues": True}, "human", "scratch")


def test_the_share_of_a_card():
    card = {"gene_symbols": ["Actb", "Atp5e", "x", "y"], "ensembl_ids": ["", "", "", ""], "organism": "mouse"}
    assert share_recognised(card, {"ACTB", "ATP5F1E"}, "gene_symbol") == 0.5
    assert share_recognised(card, {"ENSG00000075624"}, "ensembl_id") == 0.25
    assert share_recognised(card, {"ACTB"}, "gene_symbol", {"gene_names": "exact"}) == 0.0
