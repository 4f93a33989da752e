"""What each task asks, in words for the reader of the report; a task that is not listed shows its id and its splits."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ask:
    """A task in words.

    Attributes
    ----------
    question
        What a model is asked.
    hidden
        What it does not see.
    splits
        Split scheme -> what it holds out.
    """

    question: str
    hidden: str = ""
    splits: dict[str, str] = field(default_factory=dict)


_FEW = "only {} labelled cells of each type are there to learn from"

ASKS = {
    "batch_integration": Ask(
        "Are batches mixed while cell types stay apart? A model returns an embedding, a graph or corrected expression.",
        "Labels; every cell and its batch are seen.",
        {
            "all": "no cell is held out",
            "with_labels": "some labels are given; the cells whose labels are hidden are scored",
        },
    ),
    "multiomic_integration": Ask(
        "Do two modalities of cells land in one space, so that cells of one type meet whatever was measured?",
        "Labels and, unless the split says so, which cells of the two modalities belong together.",
        {
            "unpaired": "each modality comes from other cells",
            "unpaired_labels": "the same, with the labels of most cells given",
            "paired": "both modalities of each cell are given",
            "mosaic": "some cells have both modalities, others one",
        },
    ),
    "cell_type_annotation": Ask(
        "Which type has each cell of the test part?",
        "The labels of the test part.",
        {
            "intra": "cells of all batches are held out",
            "inter": "whole batches, or another dataset, are held out",
            "cross_species": "cells of another species are held out, joined by orthologues",
            "unseen_type": "a type is absent from training and must be noticed",
            "few_5": _FEW.format(5),
            "few_20": _FEW.format(20),
            "few_50": _FEW.format(50),
        },
    ),
    "gene_function": Ask(
        "Which genes belong to a class, by their vectors alone?",
        "The classes of the test genes.",
        {"genes": "single genes are held out", "families": "whole gene families are held out"},
    ),
    "perturbation": Ask(
        "How does expression change when genes are perturbed?",
        "Every cell under the test perturbations.",
        {
            "unseen_perturbation": "perturbed genes are held out",
            "unseen_combination": "pairs of genes are held out, of which none, one or both were seen alone",
            "unseen_context": "a cell type or context is held out",
        },
    ),
    "gene_network": Ask(
        "Which genes regulate which?",
        "The reference network.",
        {
            "all": "one network from all cells",
            "halves": "two networks from two halves of the cells, which should agree",
            "by_type": "a network for each cell type",
        },
    ),
    "imputation": Ask(
        "Which counts are missing? Only values that were hidden are scored.",
        "The values held out.",
        {
            "thinning": "a share of the molecules of every cell is held out",
            "masked": "single entries are held out",
            "spatial": "genes of spots are held out, a single-cell reference is given",
        },
    ),
    "simulation": Ask(
        "Do generated cells look like held-out real ones, without being copies of the training cells?",
        "The test part and the part that serves as the ceiling.",
        {"thirds": "half of the cells train, a quarter is the test, a quarter the ceiling"},
    ),
}


def ask(task: str) -> Ask:
    """Return what a task asks; a bare entry for one that is not listed."""
    return ASKS.get(task, Ask(""))
