"""Metrics of batch and multi-omic integration."""

from __future__ import annotations

_INTEGRATION_TASKS = ("batch_integration", "multiomic_integration")
_SCIB = "Luecken et al. 2022, Nature Methods 19:41 (scIB)"
_BIO = {
    "version": "1.0.0",
    "group": "bio",
    "tasks": _INTEGRATION_TASKS,
    "range": (0.0, 1.0),
    "direction": 1,
    "unit": "batch, else cell",
    "needs": ("embedding", "labels"),
    "anchors": "blind control / label oracle",
}
_BATCH = {**_BIO, "group": "batch", "needs": ("embedding", "batches"), "anchors": "unintegrated PCA / permuted batches"}
_BATCH_LABEL = {**_BATCH, "needs": ("embedding", "batches", "labels")}
_COMPOSITE = {
    **_BIO,
    "group": "composite",
    "needs": ("embedding", "batches", "labels", "unintegrated PCA"),
    "anchors": "blind control / oracle without batch",
    "headline": _INTEGRATION_TASKS,
}
_ISLANDS = "tight islands of labels, which score high whatever the distances between them."
_CHOSEN = (
    "Clusters by `cluster_rule`: `study` (Louvain, resolutions 0.1 to 2.0 in 20 steps, the best NMI), "
    "`scib` (Leiden, 0.2 to "
    "2.0 in 10 steps, the best NMI) or `fixed` (Leiden, resolution 1, mean over 10 seeds, no label "
    "used), on the UMAP "
    "connectivities of 15 exact neighbours."
)

ROWS = (
    {
        **_BIO,
        "id": "nmi",
        "name": "NMI",
        "formula": "Normalised mutual information of clusters and labels, arithmetic mean of the entropies. " + _CHOSEN,
        "blind_spots": _ISLANDS + " `study` and `scib` look at the labels to choose the resolution.",
        "reference": f"Strehl and Ghosh 2002; {_SCIB}",
    },
    {
        **_BIO,
        "id": "ari",
        "name": "ARI",
        "range": (-0.5, 1.0),
        "formula": "Adjusted Rand index of clusters and labels: share of cell pairs on which both "
        "agree, corrected for "
        "chance. " + _CHOSEN,
        "blind_spots": _ISLANDS + " Varies more than NMI with the clustering seed; ruled by the largest types.",
        "reference": f"Hubert and Arabie 1985; {_SCIB}",
    },
    {
        **_BIO,
        "id": "asw_label",
        "name": "Cell-type ASW",
        "formula": "Mean silhouette of the labels, Euclidean, as (s + 1) / 2; one half means no separation.",
        "blind_spots": _ISLANDS + " Favours round, equally wide types (Rautenstrauch and Ohler 2025).",
        "reference": f"Rousseeuw 1987; {_SCIB}",
    },
    {
        **_BATCH_LABEL,
        "id": "asw_batch",
        "name": "Batch ASW",
        "formula": "Inside each label, mean of 1 - |silhouette of the batch|, then the mean over "
        "labels. Labels in one batch, "
        "or with as many batches as cells, are left out.",
        "blind_spots": "nested batch effects: only the nearest other batch counts. Near 1 for any "
        "embedding without structure.",
        "reference": _SCIB,
    },
    {
        **_BATCH,
        "id": "pcr",
        "name": "PCR comparison",
        "needs": ("embedding", "batches", "unintegrated PCA"),
        "formula": "max(0, (before - after) / before), where each is the share of variance that batch "
        "explains (batch as a "
        "category). With all components this share is the between-batch sum of squares over the total, "
        "whatever the "
        "rotation. `before` is the unintegrated PCA. Undefined where `before` is under the 95th "
        "percentile of 199 "
        "permutations of its batches: then there is nothing to remove, and S_batch and S_final are partial.",
        "blind_spots": "batch effects without a shift of means; removal of biology that goes along with batch.",
        "reference": f"Büttner et al. 2019, Nature Methods 16:43; {_SCIB}. scib keeps at most 50 "
        f"components of the embedding.",
    },
    {
        **_BIO,
        "id": "gc_scib",
        "name": "Graph connectivity (scib)",
        "group": "batch",
        "formula": "Mean over labels of the share of cells in the largest connected part of the label's "
        "own graph: symmetric "
        "UMAP connectivities of 15 neighbours. Part of S_batch.",
        "blind_spots": "everything but breaks: a constant embedding reaches 1.",
        "reference": _SCIB,
    },
    {
        **_BIO,
        "id": "gc_knn",
        "name": "Graph connectivity (directed)",
        "group": "batch",
        "formula": "The same with strong components of the directed 15-neighbour lists: lower than "
        "`gc_scib`, under 1 even for "
        "well separated types.",
        "blind_spots": "everything but breaks; falls where cells are nobody's neighbour.",
        "reference": "scib-metrics 0.5.10",
    },
    {
        **_BATCH,
        "id": "ilisi_knn",
        "name": "iLISI",
        "formula": "(median LISI of the batches - 1) / (B - 1), on 89 exact neighbours, perplexity 30.",
        "blind_spots": "the tails (it is a median), and biology: high for noise. Low where types belong "
        "to batches by nature.",
        "reference": f"Korsunsky et al. 2019, Nature Methods 16:1289; {_SCIB}; definition of scib-metrics 0.5.10",
    },
    {
        **_BATCH,
        "id": "ilisi_graph",
        "name": "iLISI (graph)",
        "formula": "The same on the 90 cells nearest by path in the 15-neighbour graph, where an edge "
        "is as long as its "
        "connectivity (a strong link is a long step, as in scib). Cells that reach fewer count as LISI 1.",
        "blind_spots": "as `ilisi_knn`; for graph outputs the only form.",
        "reference": f"{_SCIB}; definition of scib 1.1.7",
    },
    {
        **_BIO,
        "id": "clisi_knn",
        "name": "cLISI",
        "formula": "(K - median LISI of the labels) / (K - 1), on 89 exact neighbours, perplexity 30.",
        "blind_spots": "differences between good embeddings: most reach 0.95 and more.",
        "reference": f"Korsunsky et al. 2019; {_SCIB}; definition of scib-metrics 0.5.10",
    },
    {
        **_BIO,
        "id": "clisi_graph",
        "name": "cLISI (graph)",
        "formula": "The same on the 90 cells nearest by path, see `ilisi_graph`.",
        "blind_spots": "as `clisi_knn`.",
        "reference": f"{_SCIB}; definition of scib 1.1.7",
    },
    {
        **_BATCH_LABEL,
        "id": "kbet_label",
        "name": "kBET per label",
        "formula": "Inside each label, the share of cells whose k0 nearest cells by diffusion distance "
        "(k0 = mean batch size / 4, "
        "10 to 70) pass a chi-square test at 0.05 against the label's batch frequencies; mean over "
        "labels with at least 10 "
        "cells and 2 batches. As in the reference, components reduced for a small label stay reduced "
        "for later ones.",
        "blind_spots": "the number of cells: its power, and so the value, changes several-fold with it.",
        "reference": "Büttner et al. 2019; definition of scib-metrics 0.5.10 (not the R package)",
    },
    {
        **_BATCH,
        "id": "kbet50",
        "name": "kBET, 50 neighbours",
        "formula": "Share of cells whose 50 nearest cells (itself counted) pass a chi-square test at "
        "0.05 against the overall batch "
        "frequencies.",
        "blind_spots": "the number of cells, and types that belong to batches by nature. Noise reaches 0.98.",
        "reference": "Büttner et al. 2019; definition of scib-metrics 0.5.10",
    },
    {
        **_BIO,
        "id": "isolated_asw",
        "name": "Isolated labels, ASW",
        "needs": ("embedding", "batches", "labels"),
        "formula": "Cell-type silhouette, (s + 1) / 2, of the labels that are in the fewest batches; "
        "mean over cells, then over "
        "labels. Undefined where every label is in all batches.",
        "blind_spots": _ISLANDS,
        "reference": f"{_SCIB}; definition of scib 1.1.7",
    },
    {
        **_BIO,
        "id": "isolated_f1",
        "name": "Isolated labels, F1",
        "needs": ("embedding", "batches", "labels"),
        "formula": "For each isolated label the best F1 of a cluster against it, over clusters and "
        "resolutions; mean over labels.",
        "blind_spots": _ISLANDS + " Chooses by the labels.",
        "reference": f"{_SCIB}; definition of scib 1.1.7",
    },
    {
        **_BATCH_LABEL,
        "id": "bras",
        "name": "BRAS",
        "formula": "As batch ASW with cosine distance, and the mean over all cells of the *other* "
        "batches in place of the nearest "
        "batch.",
        "blind_spots": "biology: a constant embedding reaches 1.00.",
        "reference": "Rautenstrauch and Ohler 2025, Nature Biotechnology (10.1038/s41587-025-02743-4)",
    },
    {
        **_BATCH_LABEL,
        "id": "cilisi",
        "name": "CiLISI",
        "formula": "iLISI inside each label with at least 10 cells and 2 batches, (LISI - 1) / (B of "
        "the label - 1), mean over cells. "
        "Labels under 90 cells: perplexity a third of their neighbours.",
        "blind_spots": "loss of biology inside a label: noise reaches 0.94.",
        "reference": "Andreatta et al. 2024, Nature Communications (10.1038/s41467-024-45240-z)",
    },
    {
        **_BIO,
        "id": "knn_overlap",
        "name": "Neighbours kept inside batches",
        "group": "geometry",
        "needs": ("embedding", "batches", "unintegrated PCA"),
        "anchors": "unscaled",
        "formula": "Jaccard index of each cell's 15 nearest cells of its own batch, in the embedding "
        "and in the unintegrated PCA; "
        "mean over cells of a batch, then over batches of more than 30 cells.",
        "blind_spots": "the batch effect itself; favours embeddings that resemble PCA (PCA itself reaches 1).",
        "reference": "after Yi et al. 2025, Genome Biology (10.1186/s13059-025-03869-z), on directed lists",
    },
    {
        **_COMPOSITE,
        "id": "s_bio",
        "name": "S_bio",
        "range": (-1 / 6, 1.0),
        "formula": "Mean of NMI, ARI and cell-type ASW.",
        "blind_spots": _ISLANDS,
        "reference": "scEval, Liu et al. 2023 (10.1101/2023.09.08.555192)",
    },
    {
        **_COMPOSITE,
        "id": "s_batch",
        "name": "S_batch",
        "formula": "Mean of batch ASW, PCR comparison and graph connectivity (scib). Without PCR the "
        "mean of the other two, marked "
        "`partial`.",
        "blind_spots": "biology: an embedding of noise scores high.",
        "reference": "scEval, Liu et al. 2023",
    },
    {
        **_COMPOSITE,
        "id": "s_final",
        "name": "S_final",
        "range": (-0.1, 1.0),
        "formula": "0.6 S_bio + 0.4 S_batch, as the study defines it; it makes the rank.",
        "blind_spots": _ISLANDS + " The weights are a convention; `knn_overlap` stands beside it.",
        "reference": "scEval, Liu et al. 2023",
    },
)
