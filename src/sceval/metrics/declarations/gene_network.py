"""Metrics of gene network."""

from __future__ import annotations

_EDGE = {
    "version": "1.0.0",
    "group": "edges",
    "tasks": ("gene_network",),
    "range": (0.0, 1.0),
    "direction": 1,
    "unit": "regulator",
    "needs": ("reference network", "scored edges"),
    "anchors": "blind control / 1",
}
_HEAD = {"headline": ("gene_network",)}
_UNIVERSE = (
    " All edges from a regulator to a gene of the reference, without self-loops; absent edges are last. With groups of "
    "cells the mean over groups."
)
_BLIND = (
    "edges that are true and not in the reference; whether a network knows more than which genes are hubs "
    "(`network_gain_degree`) or high (`network_gain_expression`)."
)
_BEELINE = "Pratapa et al. 2020, Nature Methods (BEELINE), its TF-restricted universe"
_PROGRAM = {
    **_EDGE,
    "group": "programs",
    "needs": ("scored edges", "gene sets"),
}
_RULE = (
    " Programs: Leiden (modularity, resolution 1) on the strongest edges, as many as the reference has; without one on "
    "the 5 strongest partners of each gene. 5 genes and more."
)
_STUDY = "scEval, Liu et al. 2023 (10.1101/2023.09.08.555192), which names it and gives no code"

ROWS = (
    {
        **_EDGE,
        **_HEAD,
        "id": "network_auprc",
        "name": "AUPRC",
        "formula": "Average precision, tied scores as one step." + _UNIVERSE,
        "blind_spots": _BLIND,
        "reference": "definition of scikit-learn; universe of Pratapa et al. 2020 (BEELINE)",
    },
    {
        **_EDGE,
        "id": "network_auprc_beeline",
        "name": "AUPRC, trapezoid",
        "formula": "Area under the precision-recall points by trapezoids, as BEELINE takes it." + _UNIVERSE,
        "blind_spots": _BLIND
        + " Ties: a flood of all edges with one score is drawn as a line from precision 1 and gets "
        "0.5, and so does a network of ten sure edges. Without ties it equals the AUPRC.",
        "reference": _BEELINE,
    },
    {
        **_EDGE,
        "id": "network_auprc_ratio",
        "name": "AUPRC ratio",
        "range": (0.0, float("inf")),
        "anchors": "unscaled",
        "formula": "AUPRC over the density of the reference; a guess has 1.",
        "blind_spots": "cannot be compared between references: its largest value is one over the density.",
        "reference": _BEELINE,
    },
    {
        **_EDGE,
        **_HEAD,
        "id": "network_epr",
        "name": "EPR",
        "range": (0.0, float("inf")),
        "anchors": "blind control / ceiling",
        "formula": "Precision of the first k edges over the density; k = edges of the reference, all ties of the last "
        "one kept." + _UNIVERSE,
        "blind_spots": _BLIND + " All that comes after the first k edges.",
        "reference": _BEELINE,
    },
    {
        **_EDGE,
        "id": "network_auroc",
        "name": "AUROC",
        "formula": "Probability that an edge of the reference ranks above another, ties as one half." + _UNIVERSE,
        "blind_spots": _BLIND + " The top of the list: with a sparse reference 0.9 may go with a precision of 0.1.",
        "reference": "Mann and Whitney 1947",
    },
    {
        **_EDGE,
        "id": "network_edge_jaccard",
        "name": "Edge Jaccard",
        "formula": "Jaccard index of the first k edges, ties kept, and the reference.",
        "blind_spots": _BLIND + " The order inside the first k.",
        "reference": _STUDY,
    },
    {
        **_EDGE,
        "id": "network_gain_expression",
        "name": "Gain over expression",
        "range": (-1.0, 1.0),
        "anchors": "unscaled",
        "formula": "AUPRC minus that of the product of mean expression.",
        "blind_spots": "covariates other than the level of a gene.",
        "reference": "after Kendiukhov 2026 (arXiv 2602.17532)",
    },
    {
        **_EDGE,
        "id": "network_gain_degree",
        "name": "Gain over degrees",
        "range": (-1.0, 1.0),
        "anchors": "unscaled",
        "formula": "AUPRC minus that of out-degree x in-degree of the reference itself, an informed baseline.",
        "blind_spots": "which edges of a hub are right, if other hubs are missed.",
        "reference": "degree null of this project",
    },
    {
        **_PROGRAM,
        "id": "program_jaccard",
        "name": "Program Jaccard",
        "needs": ("reference network", "scored edges"),
        "anchors": "floor / ceiling",
        "formula": "Best Jaccard index of each program with one of the reference's, mean weighted by size, both ways."
        + _RULE,
        "blind_spots": "genes in no program.",
        "reference": _STUDY,
    },
    {
        **_PROGRAM,
        "id": "program_terms",
        "name": "Terms found",
        "formula": "Share of the gene sets for which some program is enriched (hypergeometric, Benjamini and Hochberg "
        "at 0.05 over all tests; genes in no set left out)." + _RULE,
        "blind_spots": "expression level: sets of high genes are found by level alone.",
        "reference": "Benjamini and Hochberg 1995",
    },
    {
        **_PROGRAM,
        "id": "program_enriched",
        "name": "Programs enriched",
        "formula": "Share of the programs that are enriched for some set." + _RULE,
        "blind_spots": "how many programs there are: one large enriched one has 1.",
        "reference": "Benjamini and Hochberg 1995",
    },
    {
        **_PROGRAM,
        "id": "program_terms_study",
        "name": "Terms found, the study's rule",
        "formula": "As `program_terms`, with Leiden at resolution 40 on each gene's 15 strongest partners and p below "
        "0.05 over the number of sets.",
        "blind_spots": "large sets: its programs have few genes.",
        "reference": "Liu et al. 2023, after the gene network tutorial of scGPT",
    },
    {
        **_PROGRAM,
        "id": "term_jaccard",
        "name": "Term Jaccard",
        "needs": ("reference network", "scored edges", "gene sets"),
        "formula": "Jaccard index of the sets enriched in its programs and in those of the reference.",
        "blind_spots": "which genes made a set enriched.",
        "reference": _STUDY,
    },
    {
        **_PROGRAM,
        "id": "edge_stability",
        "name": "Edge stability",
        "group": "stability",
        "needs": ("scored edges of two halves of the cells",),
        "anchors": "floor / ceiling",
        "formula": "Jaccard index of the strongest edges of two halves, directions joined, as many as the reference "
        "has or 5 a gene.",
        "blind_spots": "truth: a network that does not look at the cells is perfectly stable.",
        "reference": "Pratapa et al. 2020 (BEELINE)",
    },
    {
        **_PROGRAM,
        "id": "program_stability",
        "name": "Program stability",
        "group": "stability",
        "needs": ("scored edges of two halves of the cells",),
        "anchors": "floor / ceiling",
        "formula": "As `program_jaccard`, between the programs of two halves of the cells.",
        "blind_spots": "truth: a network that does not look at the cells is perfectly stable.",
        "reference": _STUDY,
    },
)
