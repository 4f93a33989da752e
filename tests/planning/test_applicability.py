from __future__ import annotations

import pytest

from sceval.contract.tasks import TASKS
from sceval.planning.applicability import (
    choose_verb,
    embedding_regime,
    genes_reason,
    model_reason,
    offered_regimes,
)

EVERYTHING = {
    "embed-cells": ["zero_shot", "scratch"],
    "integrate": ["finetune", "scratch"],
    "annotate": ["finetune", "frozen", "scratch"],
}
INTEGRATION, ANNOTATION = "batch_integration", "cell_type_annotation"


@pytest.mark.parametrize(
    ("task", "regime", "verb", "reason"),
    [
        (INTEGRATION, "zero_shot", "embed-cells", ""),
        (INTEGRATION, "probe", "", TASKS["batch_integration"].heads_alone),
        (INTEGRATION, "frozen", "", TASKS["batch_integration"].heads_alone),
        (INTEGRATION, "finetune", "integrate", ""),
        (INTEGRATION, "scratch", "integrate", ""),  # before embed-cells, where a model has both
        (INTEGRATION, "encoder_only", "", "no integrate or embed-cells under encoder_only"),
        (ANNOTATION, "zero_shot", "", "cell type annotation needs a head: that is the regime probe"),
        (ANNOTATION, "probe", "probe", ""),
        (ANNOTATION, "frozen", "annotate", ""),
        (ANNOTATION, "finetune", "annotate", ""),
        (ANNOTATION, "scratch", "annotate", ""),
        (ANNOTATION, "decoder_only", "", "no annotate under decoder_only"),
    ],
)
def test_the_verb_of_each_task_and_regime(task, regime, verb, reason):
    found, why = choose_verb({"regimes": EVERYTHING}, list(EVERYTHING), task, regime)
    assert found == verb
    assert (reason in why) if reason else why == ""


def test_verbs_that_the_sheet_leaves_out_are_not_used():
    info = {"regimes": EVERYTHING}
    assert choose_verb(info, ["embed-cells"], INTEGRATION, "scratch")[0] == "embed-cells"
    assert "no annotate" in choose_verb(info, ["embed-cells"], ANNOTATION, "finetune")[1]
    assert choose_verb(info, ["annotate"], ANNOTATION, "probe") == ("", "the model has no annotate under probe")
    assert "no integrate or embed-cells" in choose_verb(info, ["annotate"], INTEGRATION, "scratch")[1]


def test_a_model_that_probes_by_itself_is_asked_to():
    info = {"regimes": {"annotate": ["probe"], "embed-cells": ["finetune"]}}
    assert choose_verb(info, ["annotate", "embed-cells"], ANNOTATION, "probe") == ("annotate", "")


def test_whoever_embeds_cells_without_labels_can_be_probed():
    assert offered_regimes({"regimes": {"embed-cells": ["zero_shot"]}}, ["embed-cells"]) == ["zero_shot", "probe"]
    assert offered_regimes({"regimes": {"embed-cells": ["scratch", "probe"]}}, ["embed-cells"]) == ["scratch", "probe"]
    assert offered_regimes({"regimes": {"embed-cells": ["finetune"]}}, ["embed-cells"]) == ["finetune"]
    assert offered_regimes({"regimes": EVERYTHING}, ["annotate"]) == ["finetune", "frozen", "scratch"]
    assert embedding_regime({"regimes": EVERYTHING}) == "zero_shot"
    assert embedding_regime({"regimes": {"embed-cells": ["probe", "scratch"]}}) == "scratch"
    assert embedding_regime({"regimes": {"annotate": ["scratch"]}}) == ""


def test_weights_organism_and_matrix(card, model):
    info = {"needs_weights": ["zero_shot"], "organisms": ["human"], "matrix": ["counts", "binary"]}
    assert "names none for m" in model_reason(info, model(), card(), "zero_shot")
    assert model_reason(info, model(weights="w"), card(), "zero_shot") == ""
    assert model_reason(info, model(), card(), "scratch") == ""
    assert model_reason(info, model(weights="w"), card(organism="mouse"), "zero_shot") == (
        "the model knows human only; the dataset is mouse"
    )
    assert model_reason(info, model(), card(organism="mouse"), "scratch") == ""  # its vocabulary is the dataset's
    code = {"organisms": ["human"]}  # a model without weights: what its code takes
    assert "knows human only" in model_reason(code, model(), card(organism="mouse"), "scratch")
    assert "takes counts, binary; the dataset holds lognorm" in model_reason(
        info, model(), card(matrix="lognorm"), "scratch"
    )
    assert model_reason(info, model(), card(matrix="binary"), "scratch") == ""
    assert "takes counts; the dataset holds lognorm" in model_reason({}, model(), card(matrix="lognorm"), "scratch")
    assert model_reason({}, model(), card(organism="mouse"), "scratch") == ""


def test_too_few_genes_are_told_with_the_share(card):
    info = {"min_genes_recognised": 0.5}
    assert genes_reason(info, {"A", "B"}, card(), "zero_shot") == ""
    why = genes_reason(info, {"A"}, card(), "zero_shot")
    assert why == "the model recognises 25.0% of the 4 genes; at least 50% are needed"
    assert genes_reason(info, {"A"}, card(), "scratch") == ""  # makes its own vocabulary
    assert genes_reason(info, None, card(), "zero_shot") == ""  # takes any gene
    assert genes_reason({}, {"A"}, card(), "zero_shot") == ""
    assert genes_reason(info | {"gene_ids": "ensembl_id"}, {"E1", "E2"}, card(), "zero_shot") == ""
    assert "25.0%" in genes_reason(info | {"gene_ids": "ensembl_id"}, {"E1", "A", "B"}, card(), "zero_shot")
