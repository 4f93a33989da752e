"""Metrics of multi-omic integration beside those of batch integration (there the modality is the batch)."""

from __future__ import annotations

_MULTI = {
    "version": "1.0.0",
    "group": "pairs",
    "tasks": ("multiomic_integration",),
    "range": (0.0, 1.0),
    "direction": 1,
    "unit": "cell",
    "needs": ("embedding", "pairs"),
}
_HEADLINE = ("multiomic_integration",)
_VOTE = "by the vote of the 15 nearest cells (Euclidean)"
_BETWEEN = {
    **_MULTI,
    "group": "transfer",
    "needs": ("embedding", "labels"),
    "anchors": "floor / ceiling",
    "reference": "scJoint (Lin et al. 2022, Nat Biotechnol 40:703) votes likewise",
}

ROWS = (
    {
        **_MULTI,
        "id": "foscttm",
        "name": "FOSCTTM",
        "direction": -1,
        "anchors": "chance / ceiling",
        "formula": "Share of the cells of the other modality that are nearer to a cell than its own partner, of N - 1; "
        "cells as near as the partner count half. Mean over cells and both directions; 0 is perfect, 0.5 is chance. "
        "Splits `unpaired` only. Ceiling: two binomial halves of the RNA in one PCA.",
        "blind_spots": "the exact partner: types that lie together suffice for 0.1. Says nothing of the distance "
        "between the modalities.",
        "reference": "Liu et al. 2019 (MMD-MA); Singh et al. 2020 (SCOT). They count strictly nearer cells only, so "
        "that one point for each modality is perfect.",
        "headline": _HEADLINE,
    },
    {
        **_MULTI,
        "id": "match10",
        "name": "Match at 10",
        "anchors": "floor / ceiling",
        "formula": "Share of the cells whose partner is among the 10 nearest cells of the other modality, both ways; "
        "among cells as near as the partner an order is drawn. Floor: 10 / N. Ceiling: as FOSCTTM.",
        "blind_spots": "all but the nearest neighbourhood; falls with the number of cells.",
        "reference": "Open Problems, matching of modalities (Luecken et al. 2025)",
    },
    {
        **_BETWEEN,
        "id": "transfer_to_other",
        "name": "Label transfer, RNA to other",
        "formula": f"Share of the cells of the other modality that get their own label {_VOTE} of RNA. Floor: class "
        "prior or a regression on depth; ceiling: logistic regression from one half of the RNA to the other.",
        "blind_spots": "small types; cells of one type need not lie together beyond the vote.",
    },
    {
        **_BETWEEN,
        "id": "transfer_to_rna",
        "name": "Label transfer, other to RNA",
        "formula": f"Share of the RNA cells that get their own label {_VOTE} of the other modality. Anchors as the way "
        "back.",
        "blind_spots": "small types; cells of one type need not lie together beyond the vote.",
    },
    {
        **_BETWEEN,
        "id": "transfer_balanced",
        "name": "Label transfer, balanced",
        "formula": "Mean over types (of at least 20 cells asked) of the share that is right, then over the two ways.",
        "blind_spots": "types under 20 cells; which other type is taken.",
        "headline": _HEADLINE,
    },
    {
        **_MULTI,
        "id": "knn_label",
        "name": "Type by neighbours",
        "group": "bio",
        "needs": ("embedding", "labels"),
        "anchors": "blind control / label oracle",
        "formula": f"Share of the cells that get their own label {_VOTE} but themselves. Splits with one row a cell; "
        "does the second modality help is read from its paired differences.",
        "blind_spots": "small types, distances between types, and batches.",
        "reference": "Cover and Hart 1967",
        "headline": _HEADLINE,
    },
    {
        **_MULTI,
        "id": "knn_factor",
        "name": "Planted factor by neighbours",
        "group": "bio",
        "needs": ("embedding", "planted factor"),
        "anchors": "chance / 1",
        "formula": f"Share of the cells that get their own state of the planted factor {_VOTE} but themselves. The "
        "factor is in the second modality alone.",
        "blind_spots": "everything that RNA tells; exists where a factor was planted.",
        "reference": "this project",
        "headline": _HEADLINE,
    },
)
