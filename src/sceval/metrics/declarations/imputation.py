"""Metrics of imputation."""

from __future__ import annotations

_INF = float("inf")
_BASE = {
    "version": "1.0.0",
    "group": "correlation",
    "tasks": ("imputation",),
    "range": (-1.0, 1.0),
    "direction": 1,
    "unit": "batch, or cell; for spots: gene",
    "needs": ("held-out counts", "expected counts"),
    "anchors": "floor / ceiling",
}
_HEAD = {"headline": ("imputation",)}
_SPOTS = {**_BASE, "unit": "gene", "group": "spatial", "needs": ("held-out genes of spots", "predicted values")}
_LI = "Li et al. 2022, Nat Methods 19:662"
_BATSON = "Batson et al. 2019 (molecular cross-validation)"
_TOLD = " Genes whose two binomial halves correlate less than 0.1 are left out, and counted."
_DEEP = "Held-out counts are those of the other half (thinning) or the hidden entries, zeros too (masked)."

ROWS = (
    {
        **_BASE,
        **_HEAD,
        "id": "imp_pearson_gene",
        "name": "Pearson per gene",
        "formula": "Correlation over cells (spots) of predicted rate and held-out count, mean over genes; 0 for "
        "a constant prediction."
        + _TOLD
        + " Floor: cell total x gene mean. Ceiling: square root of the correlation of two halves at "
        "the depth of the held-out counts, the best that the true rate reaches.",
        "blind_spots": "the scale of each gene: rates ten times too high score the same. Depth alone gives more than "
        "0, so read the scaled value.",
        "reference": f"{_BATSON}; the scEval study (per gene, on visible values)",
    },
    {
        **_BASE,
        **_HEAD,
        "id": "imp_mse",
        "name": "Held-out MSE",
        "group": "error",
        "range": (0.0, _INF),
        "direction": -1,
        "formula": f"Mean squared difference of predicted rate and held-out count. {_DEEP} Floor: gene mean x cell "
        "total. Ceiling: the mean held-out count, which is the Poisson variance that no prediction removes.",
        "blind_spots": "genes with few counts: the sum is made by the highest genes. All zeros look small in absolute "
        "numbers.",
        "reference": _BATSON,
    },
    {
        **_BASE,
        "id": "imp_pearson_cell",
        "name": "Pearson per cell",
        "formula": f"Correlation over genes of predicted rate and held-out count, mean over cells. {_DEEP}",
        "blind_spots": "differences between cells: the same mean profile for every cell is near the top.",
        "reference": "usual",
    },
    {
        **_BASE,
        "id": "imp_rmse",
        "name": "Held-out RMSE",
        "group": "error",
        "range": (0.0, _INF),
        "direction": -1,
        "formula": "Square root of the held-out MSE.",
        "blind_spots": "as the MSE.",
        "reference": "usual",
    },
    {
        **_BASE,
        "id": "imp_nll",
        "name": "Poisson NLL",
        "group": "error",
        "range": (0.0, _INF),
        "direction": -1,
        "formula": "Negative log likelihood of the held-out counts under the predicted rates, nats an entry; rates are "
        "at least 0.001.",
        "blind_spots": "overdispersion. The bound on the rate decides what a wrong zero costs.",
        "reference": _BATSON,
        "anchors": "unscaled",
    },
    {
        **_BASE,
        "id": "imp_avg_bio",
        "name": "Average bio",
        "anchors": "unscaled",
        "group": "clustering",
        "range": (0.0, 1.0),
        "unit": "none: no interval",
        "needs": ("cell types", "expected counts"),
        "formula": "Mean of NMI, ARI and (ASW + 1) / 2 in 50 components of log CP10k of the imputed matrix; Louvain, "
        "20 resolutions, chosen by the labels.",
        "blind_spots": "whether values are right: one profile for each type is best of all, whatever stands in it.",
        "reference": "the scEval study",
    },
    {
        **_BASE,
        "id": "imp_bio_gain",
        "name": "Average bio, gain over raw",
        "group": "clustering",
        "unit": "none: no interval",
        "needs": ("cell types", "expected counts"),
        "formula": "Average bio of the imputed matrix minus that of the view as it is (for spots: of the genes shown).",
        "blind_spots": "as average bio; any smoothing between neighbors lifts it.",
        "reference": "the scEval study",
        "anchors": "unscaled",
    },
    {
        **_SPOTS,
        **_HEAD,
        "id": "imp_spearman_gene",
        "name": "Spearman per gene",
        "group": "correlation",
        "formula": "Rank correlation over spots of prediction and count, mean over held-out genes, ties by mid-ranks."
        + _TOLD,
        "blind_spots": "by how much spots differ; ties of sparse genes keep it low.",
        "reference": "the scEval study (zero-shot variant)",
    },
    {
        **_SPOTS,
        "id": "imp_ssim",
        "name": "SSIM",
        "formula": "Structural similarity, one window over all spots, both divided by their maximum, mean over genes."
        + _TOLD,
        "blind_spots": "positions: spots may be shuffled together. One outlier spot sets the scale.",
        "reference": f"Wang et al. 2004; {_LI}",
    },
    {
        **_SPOTS,
        "id": "imp_js",
        "name": "Jensen-Shannon divergence",
        "range": (0.0, 1.0),
        "direction": -1,
        "formula": "Divergence (bits) of prediction and count as distributions over spots, mean over genes." + _TOLD,
        "blind_spots": "sparse counts diverge from any smooth rate: a right prediction is far from 0.",
        "reference": _LI,
    },
    {
        **_SPOTS,
        "id": "imp_rmse_z",
        "name": "RMSE of z-scores",
        "range": (0.0, 2.0),
        "direction": -1,
        "formula": "Root mean squared difference of z-scores over spots, mean over genes." + _TOLD,
        "blind_spots": "a constant prediction gets 1, better than noise (1.41): saying nothing is rewarded.",
        "reference": _LI,
    },
    {
        **_SPOTS,
        "id": "imp_significant",
        "name": "Share significant",
        "range": (0.0, 1.0),
        "formula": "Share of held-out genes with positive Pearson correlation and p < 0.005." + _TOLD,
        "blind_spots": "spots are no independent draws: p is too small. With many spots any weak correlation counts.",
        "reference": "the scEval study, there of any sign",
    },
    {
        **_SPOTS,
        "id": "imp_significant_study",
        "name": "Share significant, study",
        "range": (0.0, 1.0),
        "formula": "Share of all held-out genes with p < 0.005 of the Pearson correlation, of either sign.",
        "blind_spots": "the sign: a prediction that is wrong everywhere counts as one that is right.",
        "reference": "the scEval study",
        "anchors": "unscaled",
    },
)
