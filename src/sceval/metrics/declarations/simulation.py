"""Metrics of simulation."""

from __future__ import annotations

_INF = float("inf")
_BASE = {
    "version": "1.0.0",
    "group": "distribution",
    "tasks": ("simulation",),
    "range": (0.0, _INF),
    "direction": -1,
    "unit": "test cell",
    "needs": ("held-out cells", "generated cells"),
    "anchors": "floor / ceiling",
}
_HEAD = {"headline": ("simulation",)}
_COPIES = "copies of training cells, which are real cells: their score is that of the ceiling."
_NEW = " Cells that copy a training cell (see `sim_copied`) are replaced by cells of the floor first."
_SPACE = "in 20 principal components of log1p CP10k of all real cells"
_ENERGY = f"2 E d(x, y) - E d(x, x') - E d(y, y') of test and generated cells of a type, Euclidean {_SPACE}, unbiased, "
_ENERGY += "mean over types weighted by test cells; types of 5 test cells and more."
_MMD = f"Squared maximum mean discrepancy, unbiased, {_SPACE}, mean over five Gaussian kernels around the median "
_MMD += "distance of training cells; inside types as the energy distance."
_C2ST = "|AUC - 0.5| of a logistic regression that tells real from generated cells, on 20 principal components of both "
_C2ST += "together and their squares, five folds."
_R = "Pearson correlation between the gene-gene correlations of real and of generated cells, log1p CP10k, over the 100 "
_R += "most variable genes of the training cells; 0 for constant cells."
_OUTSIDE = "the library size, and what the principal components of real cells do not hold."
_TYPES = "the labels of the cells, and the library size."
_STUDY = "on 20 principal components of test and generated cells together, with the source as batch."
_STUDY_REFERENCE = "Liu et al. 2023 (scEval), simulation; Luecken et al. 2022 (scIB)"
_W = "First Wasserstein distance, inside each type, mean over types weighted by test cells, "
_SHUFFLED = "which gene has which value: shuffled genes pass. "


def _pair(name: str, row: dict) -> tuple[dict, dict]:
    """Return a metric and its headline form, in which copies count for nothing."""
    plain = {
        **row,
        "id": name,
        "blind_spots": f"{row['blind_spots'][0].upper()}{row['blind_spots'][1:]} Also {_COPIES}",
    }
    new = {**row, **_HEAD, "id": f"{name}_new", "name": f"{row['name']}, new cells", "formula": row["formula"] + _NEW}
    return new, plain


def _distribution(name: str, title: str, what: str, blind: str) -> dict:
    row = {"id": f"sim_{name}", "name": title, "formula": _W + what, "blind_spots": f"{blind}Also {_COPIES}"}
    return {**_BASE, **row, "reference": "properties of SimBench (Cao et al. 2021)"}


def _study(name: str, title: str, formula: str, low: float = 0.0) -> dict:
    row = {
        "id": f"sim_{name}",
        "name": title,
        "group": "study",
        "range": (low, 1.0),
        "direction": 1,
        "formula": f"{formula} {_STUDY}",
        "blind_spots": f"cells that are cleaner than real ones score above these; {_COPIES}",
        "reference": _STUDY_REFERENCE,
    }
    return {**_BASE, **row}


ROWS = (
    *_pair(
        "sim_energy",
        {
            **_BASE,
            "name": "Energy distance",
            "range": (-_INF, _INF),
            "formula": _ENERGY,
            "blind_spots": _OUTSIDE,
            "reference": "Szekely and Rizzo 2013",
        },
    ),
    *_pair(
        "sim_mmd",
        {
            **_BASE,
            "name": "MMD",
            "range": (-1.0, 2.0),
            "formula": _MMD,
            "blind_spots": _OUTSIDE,
            "reference": "Gretton et al. 2012",
        },
    ),
    *_pair(
        "sim_c2st",
        {
            **_BASE,
            "name": "Classifier two-sample test",
            "group": "classifier",
            "range": (0.0, 0.5),
            "formula": _C2ST,
            "blind_spots": _TYPES,
            "reference": "Lopez-Paz and Oquab 2017",
        },
    ),
    *_pair(
        "sim_correlation",
        {
            **_BASE,
            "name": "Correlation r",
            "group": "study",
            "range": (-1.0, 1.0),
            "direction": 1,
            "formula": _R,
            "blind_spots": "means, spreads and " + _TYPES,
            "reference": "Liu et al. 2023 (scEval), simulation",
        },
    ),
    _distribution("gene_mean", "Gene means", "over genes: mean log1p CP10k.", _SHUFFLED),
    _distribution("gene_variance", "Gene variances", "over genes: variance of log1p CP10k.", _SHUFFLED),
    _distribution("gene_zeros", "Gene zeros", "over genes: share of zeros.", _SHUFFLED),
    _distribution("cell_zeros", "Cell zeros", "over cells: share of zeros.", _SHUFFLED),
    _distribution("library", "Library size", "over cells: log(1 + total counts).", "the genes altogether. "),
    {
        **_BASE,
        "id": "sim_coverage",
        "name": "Coverage",
        "group": "coverage",
        "range": (0.0, 1.0),
        "direction": 1,
        "formula": "Share of test cells with a generated cell of their type inside the ball that reaches to their "
        f"fifth nearest test cell, {_SPACE}.",
        "blind_spots": f"generated cells far from all real ones; also {_COPIES}",
        "reference": "Naeem et al. 2020, here type by type",
    },
    {
        **_BASE,
        "id": "sim_rare_recall",
        "name": "Rare-type recall",
        "group": "coverage",
        "range": (0.0, 1.0),
        "direction": 1,
        "formula": "Coverage over the test cells of types that make up less than 5 % of the test part.",
        "blind_spots": f"as coverage; a few cells decide; {_COPIES}",
        "reference": "Naeem et al. 2020, over rare types",
    },
    {
        **_BASE,
        "id": "sim_memorization",
        "name": "Memorization ratio",
        "group": "memorization",
        "direction": 1,
        "needs": ("training cells", "held-out cells", "generated cells"),
        "formula": "Median distance of generated cells to their nearest training cell over that of test cells, in 50 "
        "principal components of all real cells. 0 for copies, 1 for real cells; above 1 the cells are unreal.",
        "blind_spots": "whether cells are real: noise has a high ratio. Fewer copies than half do not show.",
        "reference": "ours",
        "anchors": "unscaled",
    },
    {
        **_BASE,
        "id": "sim_copied",
        "name": "Share of copies",
        "group": "memorization",
        "range": (0.0, 1.0),
        "needs": ("training cells", "held-out cells", "generated cells"),
        "formula": "Share of generated cells that copy a training cell: distance to the nearest over distance to the "
        "second nearest at or below 0.9 times the first percentile of that of test cells, in 50 principal components "
        "of all real cells.",
        "blind_spots": "whether cells are real; mixtures of two training cells.",
        "reference": "ours; the ratio is that of nearest-neighbor matching (Lowe 2004)",
        "anchors": "unscaled",
    },
    _study("s_final", "S_final, study", "0.6 S_bio + 0.4 S_batch,"),
    _study("s_bio", "S_bio, study", "Mean of NMI, ARI and cell-type ASW,"),
    _study("s_batch", "S_batch, study", "Mean of source ASW and graph connectivity (PCR has no before),"),
    _study("nmi", "NMI, study", "As `nmi`,"),
    _study("ari", "ARI, study", "As `ari`,", low=-0.5),
    _study("asw_label", "Cell-type ASW, study", "As `asw_label`,"),
    _study("asw_batch", "Source ASW, study", "As `asw_batch`,"),
    _study("gc_scib", "Graph connectivity, study", "As `gc_scib`,"),
    _study("ilisi_knn", "Source iLISI", "As `ilisi_knn`,"),
)
