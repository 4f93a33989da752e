"""What the splits of cell type annotation need of a dataset, from its card alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sceval.data.splits import BUDGETS, LEAST_UNSEEN, MOST_UNSEEN, TEST_SHARE, may_be_unseen

Card = dict[str, Any]


def other_organism(card: Card) -> bool:
    """Return whether the query dataset is of another organism (VALIDATE writes its organism into the card)."""
    return bool(card["query"]) and card.get("query_organism", card.get("organism")) != card.get("organism")


def cross_species(card: Card) -> str:
    """Return why there is no second organism to ask about, or an empty text."""
    if not card["query"]:
        return "cells of another organism are the test part, and the row names no query dataset"
    same = f"the query dataset {card['query']!r} is {card.get('organism')} too: the split for that is `inter`"
    return "" if other_organism(card) else same


def unseen_type(card: Card) -> str:
    """Return why no type can be held out, or an empty text."""
    counts = card["cells_per_type"]
    if len(counts) >= 3 and may_be_unseen(counts):
        return ""
    return (
        f"{len(counts)} types, the largest with {max(counts.values(), default=0)} cells: one of {LEAST_UNSEEN} cells "
        f"that is at most {MOST_UNSEEN:.0%} of all must be held out, and two others stay to be learned"
    )


def few(budget: int) -> Callable[[Card], str]:
    """Return the check of a label budget: half of the types must have more reference cells than it."""

    def check(card: Card) -> str:
        counts = [round((1 - TEST_SHARE) * n) for n in card["cells_per_type"].values()]
        larger = sum(n > budget for n in counts)
        told = f"{larger} of {len(counts)} types have more than {budget} reference cells: little differs from `intra`"
        return "" if 2 * larger >= len(counts) else told

    return check


SPLITS: dict[tuple[str, str], Callable[[Card], str]] = {
    ("cell_type_annotation", "cross_species"): cross_species,
    ("cell_type_annotation", "unseen_type"): unseen_type,
    **{("cell_type_annotation", f"few_{budget}"): few(budget) for budget in BUDGETS},
}
"""As `needs.SPLIT_NEEDS`."""
