"""Metrics of gene function."""

from __future__ import annotations

_GENE = {
    "version": "1.0.0",
    "group": "ranking",
    "tasks": ("gene_function",),
    "range": (0.0, 1.0),
    "direction": 1,
    "unit": "gene, or family of genes",
    "needs": ("classes of genes", "probabilities"),
    "anchors": "blind control / 1",
}
_HEAD = {"headline": ("gene_function",)}
_RARER = " With two classes the rarer one is positive; with more, the mean over one class against the rest."
_BLIND = "whether expression level alone tells the class: compare with the baseline of mean and detection rate."

ROWS = (
    {
        **_GENE,
        **_HEAD,
        "id": "gene_auroc",
        "name": "AUROC",
        "formula": "Probability that a gene of the class is ranked above one of another, ties as one half." + _RARER,
        "blind_spots": _BLIND,
        "reference": "Mann and Whitney 1947",
    },
    {
        **_GENE,
        **_HEAD,
        "id": "gene_auprc",
        "name": "AUPRC",
        "formula": "Average precision, tied scores as one step." + _RARER,
        "blind_spots": _BLIND + " Depends on the share of the class.",
        "reference": "definition of scikit-learn",
    },
    {
        **_GENE,
        "id": "gene_auprc_lift",
        "name": "AUPRC lift",
        "range": (0.0, float("inf")),
        "formula": "AUPRC over the share of the class; a guess has 1.",
        "blind_spots": "cannot be compared between datasets: its largest value is one over the share.",
        "anchors": "unscaled",
        "reference": "Saito and Rehmsmeier 2015",
    },
    {
        **_GENE,
        "id": "gene_accuracy",
        "name": "Accuracy",
        "group": "classification",
        "formula": "Share of genes with the right class.",
        "blind_spots": "rare classes.",
        "reference": "definition of scikit-learn",
    },
    {
        **_GENE,
        "id": "gene_f1",
        "name": "Macro F1",
        "group": "classification",
        "formula": "Mean over classes of the harmonic mean of precision and recall.",
        "blind_spots": "how sure a right class was.",
        "reference": "definition of scikit-learn",
    },
)
