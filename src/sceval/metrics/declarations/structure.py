"""Metrics of batch integration beside the scIB set: structure, clusters without labels, other kinds of output."""

from __future__ import annotations

_STRUCTURE = {
    "version": "1.0.0",
    "group": "geometry",
    "tasks": ("batch_integration",),
    "range": (-1.0, 1.0),
    "direction": 1,
    "unit": "batch, else cell",
    "needs": ("embedding", "batches", "counts"),
    "anchors": "unscaled",
}
_FIXED = {
    **_STRUCTURE,
    "group": "bio",
    "needs": ("embedding", "labels"),
    "range": (0.0, 1.0),
    "anchors": "blind control / label oracle",
}
_RULE = (
    "Clusters by the rule `fixed`: Leiden, resolution 1, mean over 10 seeds, on the UMAP connectivities of 15 exact "
    "neighbours. No label chooses anything."
)
_ISLANDS = "tight islands of labels, which score high whatever the distances between them."
_GRAPH = {
    **_STRUCTURE,
    "group": "graph output",
    "range": (0.0, 1.0),
    "needs": ("graph", "labels"),
}
_GIVEN = "On the graph that the method itself gives (the larger weight of both directions, no self-loops). "
_SCIB = "Luecken et al. 2022, Nature Methods 19:41 (scIB), its graph output"
_CORRECTED = {
    **_STRUCTURE,
    "group": "corrected expression",
    "needs": ("corrected expression", "batches", "labels", "unintegrated PCA"),
}

ROWS = (
    {
        **_FIXED,
        "id": "nmi_fixed",
        "name": "NMI, clusters without labels",
        "formula": "Normalised mutual information of clusters and labels. " + _RULE,
        "blind_spots": _ISLANDS + " How many clusters resolution 1 makes.",
        "reference": "Strehl and Ghosh 2002",
    },
    {
        **_FIXED,
        "id": "ari_fixed",
        "name": "ARI, clusters without labels",
        "range": (-0.5, 1.0),
        "formula": "Adjusted Rand index of clusters and labels. " + _RULE,
        "blind_spots": _ISLANDS + " How many clusters resolution 1 makes; ruled by the largest types.",
        "reference": "Hubert and Arabie 1985",
    },
    {
        **_STRUCTURE,
        "id": "intra_type",
        "name": "Structure inside types",
        "needs": ("embedding", "batches", "labels", "counts"),
        "formula": "For cells of one type and batch (at least 20): share of the 15 nearest (a third of the group where "
        "that is less) that is the same in the embedding and in the PCA of that batch alone, corrected for chance: "
        "(Q - k / (N - 1)) / (1 - k / (N - 1)). Mean over cells of a type, then over types.",
        "blind_spots": "batches and distances between types; favours embeddings that resemble PCA.",
        "reference": "after Yi et al. 2025, Genome Biology (10.1186/s13059-025-03869-z)",
    },
    {
        **_STRUCTURE,
        "id": "scgraph",
        "name": "scGraph",
        "needs": ("embedding", "batches", "labels", "counts"),
        "formula": "Distances between types against their consensus over batches. In each batch of 100 cells: PCA of "
        "1,000 variable genes, 10 components; centroids of types of 10 cells, 5 % trimmed at each end; distances, each "
        "column over its largest. Score: mean over types of the Pearson correlation with the embedding's distances, "
        "weights 1 / consensus distance.",
        "blind_spots": "batches and cells inside types; PCA is the reference, so PCA-like embeddings win.",
        "reference": "Wang, Leskovec and Regev 2025 (10.1038/s41587-025-02702-z), Corr-Weighted, by its definition",
    },
    {
        **_STRUCTURE,
        "id": "scgraph_corrected",
        "name": "scGraph, corrected for chance",
        "range": (float("-inf"), 1.0),
        "needs": ("embedding", "batches", "labels", "counts"),
        "formula": "(S - E) / (1 - E), E the mean of `scgraph` over 50 permutations of the types' centroids in the "
        "embedding.",
        "blind_spots": "as `scgraph`.",
        "reference": "Wang, Leskovec and Regev 2025; correction by the null as in Tower 2026",
    },
    {
        **_STRUCTURE,
        "id": "rnx",
        "name": "R_NX, raw neighbourhoods",
        "formula": "Inside each batch of 30 cells: agreement of the k nearest cells in the embedding with those by log "
        "CP10k in the batch's 1,000 variable genes, R_NX(k) = (Q(k) - k / (N - 1)) / (1 - k / (N - 1)); mean over k "
        "from 1 to 50 with weights 1 / k, over cells of a batch (2,000 of all batches at most), then over batches. "
        "No label enters, no PCA, no other batch.",
        "blind_spots": "the batch effect; noise of the counts counts as structure, so that 1 is out of reach.",
        "reference": "Lee et al. 2015, Neurocomputing 169:246",
    },
    {
        **_STRUCTURE,
        "id": "participation",
        "name": "Participation ratio",
        "range": (0.0, float("inf")),
        "needs": ("embedding",),
        "formula": "(PR - 1) / (PR0 - 1): PR = (sum of the variances along the principal axes)² / sum of their "
        "squares, PR0 its expectation for isotropic noise of the same size. 0: one direction; 1: noise. A description: "
        "neither side is better.",
        "blind_spots": "what the dimensions hold: noise has 1.",
        "reference": "Gao et al. 2017 (10.1101/214262) for the ratio",
    },
    {
        **_STRUCTURE,
        "id": "intrinsic_dimension",
        "name": "Intrinsic dimension",
        "range": (0.0, float("inf")),
        "needs": ("embedding",),
        "formula": "TwoNN dimension, n / sum of log(second / first neighbour distance), of at most 2,000 cells, over "
        "that of Gaussian noise of the same size (mean of 3). 1: noise. A description: neither side is better.",
        "blind_spots": "what the dimensions hold; copies of cells are left out.",
        "reference": "Facco et al. 2017, Scientific Reports 7:12140",
    },
    {
        **_CORRECTED,
        "id": "corrected_s_bio",
        "name": "S_bio of corrected expression",
        "range": (-1 / 6, 1.0),
        "formula": "`s_bio` of the first 50 principal components of the corrected expression.",
        "blind_spots": _ISLANDS,
        "reference": "scIB's full output; scEval, Liu et al. 2023",
    },
    {
        **_CORRECTED,
        "id": "corrected_s_batch",
        "name": "S_batch of corrected expression",
        "range": (0.0, 1.0),
        "formula": "`s_batch` of the same components.",
        "blind_spots": "biology: noise scores high.",
        "reference": "scIB's full output; scEval, Liu et al. 2023",
    },
    {
        **_CORRECTED,
        "id": "corrected_s_final",
        "name": "S_final of corrected expression",
        "range": (-0.1, 1.0),
        "formula": "0.6 `corrected_s_bio` + 0.4 `corrected_s_batch`.",
        "blind_spots": _ISLANDS,
        "reference": "scIB's full output; scEval, Liu et al. 2023",
    },
    {
        **_GRAPH,
        "id": "graph_nmi",
        "name": "NMI, graph output",
        "formula": _GIVEN + "As `nmi`, rule `study`.",
        "blind_spots": _ISLANDS,
        "reference": _SCIB,
    },
    {
        **_GRAPH,
        "id": "graph_ari",
        "name": "ARI, graph output",
        "range": (-0.5, 1.0),
        "formula": _GIVEN + "As `ari`, rule `study`.",
        "blind_spots": _ISLANDS,
        "reference": _SCIB,
    },
    {
        **_GRAPH,
        "id": "graph_gc",
        "name": "Graph connectivity, graph output",
        "formula": _GIVEN + "As `gc_scib`.",
        "blind_spots": "everything but breaks: a flood of edges reaches 1.",
        "reference": _SCIB,
    },
    {
        **_GRAPH,
        "id": "graph_clisi",
        "name": "cLISI, graph output",
        "formula": _GIVEN + "As `clisi_graph`.",
        "blind_spots": "differences between good graphs.",
        "reference": _SCIB,
    },
    {
        **_GRAPH,
        "id": "graph_ilisi",
        "name": "iLISI, graph output",
        "needs": ("graph", "batches"),
        "formula": _GIVEN + "As `ilisi_graph`.",
        "blind_spots": "biology: random edges score high.",
        "reference": _SCIB,
    },
)
