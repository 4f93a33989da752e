"""Metrics of perturbation."""

from __future__ import annotations

_INF = float("inf")
_GEARS = "Roohani et al. 2024 (GEARS)"
_BASE = {
    "version": "1.0.0",
    "group": "error",
    "tasks": ("perturbation",),
    "unit": "perturbation",
    "needs": ("held-out cells", "mean profile of each perturbation"),
    "anchors": "floor / ceiling",
}
_HEAD = {"headline": ("perturbation",)}
_ERROR = {**_BASE, "range": (0.0, _INF), "direction": -1}
_CORRELATION = {**_BASE, "group": "correlation", "range": (-1.0, 1.0), "direction": 1}
_TOLD = {**_BASE, "group": "discrimination", "range": (0.0, 1.0), "direction": 1, "anchors": "chance / ceiling"}
_DELTA = (
    "Pearson correlation over genes of predicted and true change from the control mean, mean over perturbations; 0 "
    "where it is undefined."
)
_DISJOINT = " Prediction and truth have control cells of their own (the visible and the held-out ones)."
_TOP = " Over the 20 genes with the largest Welch t statistic against the controls."
_SHARED = "what all perturbations share lifts it: the training perturbed mean is its anchor 0 for that reason."

ROWS = (
    {
        **_CORRELATION,
        **_HEAD,
        "id": "pearson_delta",
        "name": "Pearson-delta",
        "formula": _DELTA + _DISJOINT,
        "blind_spots": _SHARED + " The size of the change.",
        "reference": f"{_GEARS}; disjoint controls: cell-eval2",
    },
    {
        **_CORRELATION,
        **_HEAD,
        "id": "pearson_delta_de",
        "name": "Pearson-delta, top 20",
        "formula": _DELTA + _DISJOINT + _TOP,
        "blind_spots": _SHARED + " All genes but 20, and what the model calls changed without reason.",
        "reference": _GEARS,
    },
    {
        **_ERROR,
        **_HEAD,
        "id": "pert_mse",
        "name": "MSE",
        "formula": "Mean squared difference over genes of predicted and true mean profile, mean over perturbations.",
        "blind_spots": "most genes do not change, so that the mean of everything is hard to beat.",
        "reference": _GEARS,
    },
    {
        **_ERROR,
        **_HEAD,
        "id": "pert_mse_de",
        "name": "MSE, top 20",
        "formula": "As MSE." + _TOP,
        "blind_spots": "all genes but 20: a model that changes everything too much is not punished.",
        "reference": _GEARS,
    },
    {
        **_TOLD,
        **_HEAD,
        "id": "pds",
        "name": "Perturbation discrimination score",
        "formula": "Share of the other asked perturbations (of the same context) whose true change is less like the "
        "prediction than its own, by cosine, ties as one half; perturbed genes are left out.",
        "blind_spots": "the size of the change, and the error: only who is nearest counts.",
        "reference": "cell-eval2 (Virtual Cell Challenge 2026), mid-ranks",
    },
    {
        **_BASE,
        **_HEAD,
        "id": "pert_energy",
        "name": "Energy distance",
        "group": "distribution",
        "range": (-_INF, _INF),
        "direction": -1,
        "needs": ("held-out cells", "predicted cells"),
        "formula": "2 E d(x, y) - E d(x, x') - E d(y, y') of predicted and true cells, Euclidean in 20 principal "
        "components of the view, unbiased, mean over perturbations. Not defined for means.",
        "blind_spots": "genes with little variance among the cells of the view.",
        "reference": "Szekely and Rizzo 2013; Peidli et al. 2024",
    },
    {
        **_TOLD,
        "id": "centroid_accuracy",
        "name": "Centroid accuracy",
        "formula": "Share of the other true centroids (of the same context) that lie further from the predicted mean "
        "than its own, Euclidean over all genes but the perturbed ones, ties as one half.",
        "blind_spots": "perturbations without any effect lie anywhere; the size of the error.",
        "reference": "Vinas Torne et al. 2025 (Systema)",
    },
    {
        **_BASE,
        "id": "pert_direction",
        "name": "Direction agreement",
        "group": "direction",
        "range": (0.0, 1.0),
        "direction": 1,
        "formula": "Share of the top 20 genes whose predicted change has the true sign; no change is one half.",
        "blind_spots": _SHARED + " The size of the change.",
        "reference": f"{_GEARS}, there as the share of opposite signs",
    },
    {
        **_CORRELATION,
        "id": "pearson_delta_gears",
        "name": "Pearson-delta, study",
        "formula": _DELTA + " All control cells on both sides, as GEARS and the scEval study do.",
        "blind_spots": _SHARED + " The noise of the controls stands on both sides and looks like agreement.",
        "reference": _GEARS,
    },
    {
        **_CORRELATION,
        "id": "pert_pearson",
        "name": "Pearson",
        "formula": "Pearson correlation over genes of predicted and true mean profile, mean over perturbations.",
        "blind_spots": "everything that matters here: any mean profile of the same cells is near 1.",
        "reference": _GEARS,
        "anchors": "unscaled",
    },
    {
        **_CORRELATION,
        "id": "pert_pearson_de",
        "name": "Pearson, top 20",
        "formula": "As Pearson." + _TOP,
        "blind_spots": "as Pearson.",
        "reference": _GEARS,
        "anchors": "unscaled",
    },
    {
        **_CORRELATION,
        "id": "pearson_delta_nd",
        "name": "Pearson-delta, top 20 not dropped out",
        "formula": _DELTA + _DISJOINT + " Over the top 20 genes that are expressed, or not in the controls either.",
        "blind_spots": _SHARED,
        "reference": _GEARS,
    },
    {
        **_ERROR,
        "id": "pert_mse_nd",
        "name": "MSE, top 20 not dropped out",
        "formula": "As MSE, over the top 20 genes that are expressed, or not in the controls either.",
        "blind_spots": "all genes but 20.",
        "reference": _GEARS,
    },
    *(
        {
            **_CORRELATION,
            "id": f"pearson_delta_seen{n}",
            "name": f"Pearson-delta, {n} of 2 seen",
            "formula": f"Pearson-delta over the combinations of which {n} {'gene was' if n == 1 else 'genes were'} "
            "perturbed among the training cells.",
            "blind_spots": "as Pearson-delta; few combinations.",
            "reference": _GEARS,
        }
        for n in (0, 1, 2)
    ),
)
