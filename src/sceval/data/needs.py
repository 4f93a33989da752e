"""What each task and split needs of a dataset: said before anything runs, from the dataset's card alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Card = dict[str, Any]


@dataclass(frozen=True)
class Need:
    """What a dataset lacks: the column of the sheet that would give it, what was found, what would be right."""

    column: str
    found: str
    expected: str


def _batches(card: Card) -> list[Need]:
    if card["n_batches"] >= 2:
        return []
    found = f"one batch only ({next(iter(card['cells_per_batch']))})" if card["n_batches"] else "no batch_key"
    return [Need("batch_key", found, "at least two batches")]


def _types(card: Card) -> list[Need]:
    if card["n_types"] >= 2:
        return []
    found = f"one class only ({next(iter(card['cells_per_type']))})" if card["n_types"] else "no label_key"
    return [Need("label_key", found, "at least two cell types")]


LEAST_GENES = 10
"""Genes of the dataset that a class needs to take part in gene function."""


def _gene_classes(card: Card) -> list[Need]:
    counts = card.get("genes_per_class", {})
    if not counts:
        found = "no gene of the dataset in a class" if "genes_per_class" in card else "nothing"
        return [Need("gene_sets", found, "classes of genes")]
    large = [name for name, count in counts.items() if count >= LEAST_GENES]
    if len(large) < min(len(counts), 2) or not large:
        told = ", ".join(f"{name}: {count}" for name, count in list(counts.items())[:5])
        found = f"too few of the dataset's genes in the classes ({told})"
        return [Need("gene_sets", found, f"at least {LEAST_GENES} genes in each of two classes (or in a single set)")]
    return []


NEEDS: dict[str, tuple[Callable[[Card], list[Need]], ...]] = {
    "batch_integration": (_batches, _types),
    "cell_type_annotation": (_types,),
    "gene_function": (_gene_classes,),
}
"""Task -> what is asked of a dataset, in the order of the messages."""


def _inter(card: Card) -> str:
    if card["n_batches"] < 2 and not card["query"]:
        return "whole batches are held out, and the dataset has fewer than two and names no query dataset"
    return ""


SPLIT_NEEDS: dict[tuple[str, str], Callable[[Card], str]] = {
    ("cell_type_annotation", "inter"): _inter,
}
"""(task, split) -> why the split cannot be made, or an empty text; splits that need nothing more are absent."""


def lacking(card: Card, task: str) -> list[Need]:
    """Return what a dataset lacks for a task; an empty list where it can carry it."""
    return [need for check in NEEDS[task] for need in check(card)]


def split_reason(card: Card, task: str, split: str) -> str:
    """Return why a dataset cannot carry a split of a task that it can carry, or an empty text."""
    check = SPLIT_NEEDS.get((task, split))
    return check(card) if check else ""
