"""Metrics of cell type annotation."""

from __future__ import annotations

_CLASS = {
    "version": "1.0.0",
    "group": "classification",
    "tasks": ("cell_type_annotation",),
    "range": (0.0, 1.0),
    "direction": 1,
    "unit": "donor or batch, else cell",
    "needs": ("labels", "predictions"),
    "anchors": "blind controls / 1",
}
_PROBA = {
    **_CLASS,
    "group": "calibration",
    "direction": -1,
    "needs": ("labels", "probabilities"),
    "anchors": "prior / 0",
}
_HEAD = {"headline": ("cell_type_annotation",)}
_UNSEEN = {
    **_CLASS,
    "group": "unseen types",
    "needs": ("labels", "confidence of the predictions"),
    "anchors": "blind control / ceiling",
}
_DOUBT = (
    "Doubt is 1 - confidence (of the output, else its largest probability), and 1 more where the prediction is "
    "`unassigned`. In the split `unseen_type` alone. "
)
_SKLEARN = "definition of scikit-learn"
_RARE = " Types with fewer than 20 true cells stay out and are listed."

ROWS = (
    {
        **_CLASS,
        **_HEAD,
        "id": "accuracy",
        "name": "Accuracy",
        "formula": "Share of cells with the right type; `unassigned` is wrong.",
        "blind_spots": "rare types.",
        "reference": _SKLEARN,
    },
    {
        **_CLASS,
        "id": "macro_precision",
        "name": "Macro precision",
        "formula": "Mean over true types of the precision; 0 for a type never predicted." + _RARE,
        "blind_spots": "cells wrongly given to types that are not in the test part.",
        "reference": _SKLEARN,
    },
    {
        **_CLASS,
        "id": "macro_recall",
        "name": "Macro recall",
        "formula": "Mean over true types of the recall." + _RARE,
        "blind_spots": "where the wrong cells went.",
        "reference": _SKLEARN,
    },
    {
        **_CLASS,
        **_HEAD,
        "id": "macro_f1",
        "name": "Macro F1",
        "formula": "Mean over true types of the harmonic mean of precision and recall." + _RARE,
        "blind_spots": "how near a wrong type is to the right one.",
        "reference": _SKLEARN,
    },
    {
        **_CLASS,
        "id": "balanced_accuracy",
        "name": "Balanced accuracy",
        "formula": "Mean recall over the types that are true in the (resampled) cells." + _RARE,
        "blind_spots": "where the wrong cells went.",
        "reference": _SKLEARN,
    },
    {
        **_CLASS,
        "id": "mcc",
        "name": "Matthews correlation",
        "range": (-1.0, 1.0),
        "formula": "Correlation of true and predicted type over all cells; 0 where one of them is constant.",
        "blind_spots": "rare types, less than accuracy is.",
        "reference": "Gorodkin 2004; " + _SKLEARN,
    },
    {
        **_PROBA,
        "id": "log_loss",
        "name": "Log-loss",
        "range": (0.0, float("inf")),
        "formula": "Mean of minus the natural log of the true type's probability, clipped at float64 machine epsilon.",
        "blind_spots": "nothing of the probabilities, but one sure mistake costs 36.",
        "reference": _SKLEARN,
    },
    {
        **_PROBA,
        "id": "brier",
        "name": "Brier score",
        "range": (0.0, 2.0),
        "formula": "Mean squared distance of the probabilities to the one-hot truth, summed over types.",
        "blind_spots": "rare types.",
        "reference": "Brier 1950",
    },
    {
        **_PROBA,
        "id": "ece",
        "name": "Expected calibration error",
        "anchors": "unscaled",
        "formula": "Over 15 bins of equal width of the top probability: mean of |accuracy - mean "
        "probability|, weighted by the "
        "share of cells.",
        "blind_spots": "discrimination: the class frequencies as probabilities are well calibrated.",
        "reference": "Guo et al. 2017 (arXiv 1706.04599)",
    },
    {
        **_UNSEEN,
        **_HEAD,
        "id": "unseen_auroc",
        "name": "Unseen types, AUROC",
        "anchors": "chance / 1",
        "formula": _DOUBT + "How well doubt ranks cells of types that no reference cell has above the others.",
        "blind_spots": "whether the labels given are right; a classifier unsure of all rare types looks good.",
        "reference": "after Zappia et al. 2025, Nature Methods 22:834 (unseen populations)",
    },
    {
        **_UNSEEN,
        "id": "unseen_auprc",
        "name": "Unseen types, AUPRC",
        "anchors": "floor / 1",
        "formula": _DOUBT + "Average precision of the same ranking.",
        "blind_spots": "as `unseen_auroc`; depends on how many cells are of unseen types.",
        "reference": "after Zappia et al. 2025",
    },
    {
        **_UNSEEN,
        "id": "rejection_auc",
        "name": "Rejection curve, area",
        "formula": _DOUBT + "Mean, over m = 1 to n, of the accuracy among the m surest cells; a cell of an unseen "
        "type is never right; equal doubts in all orders.",
        "blind_spots": "which of two things it pays for: accuracy, or knowing where it fails.",
        "reference": "Nadeem et al. 2009; 1 - AURC of Geifman and El-Yaniv 2017 (arXiv 1705.08500)",
    },
    *(
        {
            **_UNSEEN,
            "id": f"accuracy_at_{percent}",
            "name": f"Accuracy of the surest {percent} %",
            "formula": _DOUBT + f"Height of the rejection curve where the surest {percent} % of the cells are kept.",
            "blind_spots": "all other thresholds.",
            "reference": "Nadeem et al. 2009",
        }
        for percent in (90, 70, 50)
    ),
)
