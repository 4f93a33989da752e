"""The tasks as data: their splits, and by which verbs a model can do them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TaskCard:
    """One task.

    Attributes
    ----------
    id
        As in sheets, files and plan.
    splits
        Schemes of splitting; what a scheme needs of a dataset is said in `data/needs.py`.
    verbs
        Verbs that do the task, the preferred one first.
    probes
        Verb whose embedding the task's image can put the shared head on (regime `probe`); empty where it has none.
    shares_embedding
        Whether that embedding may come from the view of batch integration, where every cell is seen and no label; False
        where the task hides cells, so that it must be made from the task's own view.
    heads_alone
        Why regimes that train heads alone make no sense here; empty where they do.
    labelled
        Splits that show labels to models that use them in a task where labels are hidden; those models run there alone,
        and are ranked apart.
    compared
        Split -> further views of the same cells: each model or baseline embeds them too, and is scored in that split
        as a variant of its own (`-VIEW` at its end), so that the differences are paired.
    """

    id: str
    splits: tuple[str, ...]
    verbs: tuple[str, ...]
    probes: str = ""
    shares_embedding: bool = True
    heads_alone: str = ""
    labelled: tuple[str, ...] = ()
    compared: dict[str, tuple[str, ...]] = field(default_factory=dict)


_HEADS_ALONE = "heads alone would not move the embedding, so the result would be that of the embedding as it is"

TASKS = {
    card.id: card
    for card in (
        TaskCard(
            "batch_integration",
            ("all", "with_labels"),
            ("integrate", "embed-cells"),
            heads_alone=_HEADS_ALONE,
            labelled=("with_labels",),
        ),
        TaskCard(
            "multiomic_integration",
            ("unpaired", "unpaired_labels", "paired", "mosaic"),
            ("integrate", "embed-cells"),
            heads_alone=_HEADS_ALONE,
            labelled=("unpaired_labels",),
            compared={"paired": ("rna_only", "other_only")},
        ),
        TaskCard(
            "cell_type_annotation",
            ("intra", "inter", "cross_species", "unseen_type", "few_5", "few_20", "few_50"),
            ("annotate",),
            probes="embed-cells",
        ),
        TaskCard("gene_function", ("genes", "families"), ("classify-genes",), probes="embed-genes"),
        TaskCard(
            "perturbation",
            ("unseen_perturbation", "unseen_combination", "unseen_context"),
            ("perturb",),
            probes="embed-genes",
            shares_embedding=False,
        ),
        TaskCard("imputation", ("thinning", "masked", "spatial"), ("impute",)),
        TaskCard("gene_network", ("all", "halves", "by_type"), ("infer-network",), probes="embed-genes"),
        TaskCard("simulation", ("thirds",), ("simulate",)),
    )
}
"""Task id -> card, in the order of the report."""

EMBEDDING_TASK = "batch_integration"
"""Shared embeddings are computed on the view of this task: all cells, no label, so that every task can use them."""
