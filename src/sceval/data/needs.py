"""What each task and split needs of a dataset: said before anything runs, from the dataset's card alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sceval.data import needs_annotation
from sceval.data.perturbations import parts_of

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


LEAST_EDGES, LEAST_SETS = 10, 5
"""Edges of a reference network between genes of the dataset; or gene sets with `LEAST_MEMBERS` genes of it."""

LEAST_MEMBERS = 5
"""Genes of the dataset that a set needs to be tested for enrichment."""

LEAST_TYPE_CELLS, LEAST_HALVED = 40, 80
"""Cells of a type that gets a network of its own, and of a dataset that is halved."""


def _network_or_sets(card: Card) -> list[Need]:
    if "edges" in card:
        if card["edges_inside"] >= LEAST_EDGES:
            return []
        found = f"{card['edges_inside']} of {card['edges']} edges between genes of the dataset"
        return [Need("network", found, f"at least {LEAST_EDGES}")]
    usable = sum(count >= LEAST_MEMBERS for count in card.get("genes_per_class", {}).values())
    if usable >= LEAST_SETS:
        return []
    found = f"no network, and {usable} gene sets with {LEAST_MEMBERS} genes of the dataset"
    return [Need("network", found, f"a reference network, or at least {LEAST_SETS} such sets (column gene_sets)")]


LEAST_CELLS = 10
"""Cells of a perturbation (in a context) that make it take part."""


def _perturbed(card: Card) -> list[Need]:
    counts = card.get("cells_per_perturbation", {})
    if not counts:
        return [Need("perturbation_key", "no perturbation_key", "a column with the perturbation of each cell")]
    if len(counts) < 2 or card["control"] not in counts:
        found = f"{', '.join(counts)} alone" if len(counts) < 4 else f"no cell of the control {card['control']!r}"
        return [Need("perturbation_key", found, "control cells and perturbed cells")]
    if counts[card["control"]] < LEAST_CONTROLS:
        found = f"{counts[card['control']]} control cells"
        return [Need("control", found, f"at least {LEAST_CONTROLS}: half are shown, half are scored against")]
    return []


LEAST_CONTROLS = 4
"""Control cells: two that are seen, two that scores are made against."""

LEAST_SINGLES, LEAST_DOUBLES = 5, 4
"""Perturbations that the splits over perturbations and over combinations need."""


LEAST_SPATIAL_GENES = 10
"""Genes that reference and spots must share: some are held out, the others align the two."""


def _whole_counts(card: Card) -> list[Need]:
    if card["matrix"] == "counts":
        return []
    found = f"{card['matrix']}, which holds no whole counts"
    return [Need("matrix", found, "raw counts (matrix `counts`, perhaps in a layer), of which a part can be hidden,")]


LEAST_SIMULATED = 20
"""Cells that each of two types needs, so that new ones can be learned and compared: five of them are test cells."""


def _simulated(card: Card) -> list[Need]:
    needs = _types(card)
    if card["matrix"] != "counts":
        needs.append(Need("matrix", card["matrix"], "raw counts: new cells are drawn as counts"))
    large = sum(count >= LEAST_SIMULATED for count in card["cells_per_type"].values())
    if not needs and large < 2:
        told = ", ".join(f"{name}: {count}" for name, count in list(card["cells_per_type"].items())[:5])
        found = f"{large} types with {LEAST_SIMULATED} cells ({told})"
        needs.append(Need("label_key", found, "at least two such types"))
    return needs


LEAST_SHARED = 5
"""Genes of the RNA that the second modality must tell of for the split in one gene space."""

LEAST_PAIRS = 50
"""Cells with both modalities that the paired splits need."""


def _second(card: Card) -> list[Need]:
    if "second" not in card:
        expected = "a second modality (an .h5mu file, or the columns second or proteins)"
        return [Need("second", "RNA alone", expected)]
    if card["matrix"] != "counts":
        return [Need("matrix", card["matrix"], "raw counts of the RNA")]
    return []


NEEDS: dict[str, tuple[Callable[[Card], list[Need]], ...]] = {
    "batch_integration": (_batches, _types),
    "multiomic_integration": (_second, _types),
    "cell_type_annotation": (_types,),
    "gene_function": (_gene_classes,),
    "gene_network": (_network_or_sets,),
    "perturbation": (_perturbed,),
    "imputation": (_whole_counts,),
    "simulation": (_simulated,),
}
"""Task -> what is asked of a dataset, in the order of the messages."""


def _halves(card: Card) -> str:
    n = card["n_cells"]
    return "" if n >= LEAST_HALVED else f"the cells are halved, and {n} are fewer than {LEAST_HALVED}"


def _by_type(card: Card) -> str:
    large = [name for name, n in card["cells_per_type"].items() if n >= LEAST_TYPE_CELLS]
    told = f"{len(large)} cell types with {LEAST_TYPE_CELLS} cells and more"
    return "" if len(large) > 1 else f"each type gets a network of its own, and there are {told}; at least two"


def _inter(card: Card) -> str:
    if card.get("query_is_spatial"):
        return "its query dataset holds spots of several cells, not cells to annotate"
    if card["n_batches"] < 2 and (not card["query"] or needs_annotation.other_organism(card)):
        return "whole batches are held out, and the dataset has fewer than two and names no query dataset"
    return ""


def _large(card: Card, combined: bool) -> int:
    """Count the perturbations with enough cells: of one gene, or of more than one."""
    control = card["control"]
    counts = card["cells_per_perturbation"]
    return sum(
        n >= LEAST_CELLS and name != control and (len(parts_of(name, control)) > 1) == combined
        for name, n in counts.items()
    )


def _singles(card: Card) -> str:
    n = _large(card, combined=False)
    return "" if n >= LEAST_SINGLES else f"{n} single perturbations of {LEAST_CELLS} cells; at least {LEAST_SINGLES}"


def _doubles(card: Card) -> str:
    n = _large(card, combined=True)
    told = f"{n} combinations of {LEAST_CELLS} cells (names joined by `+`); at least {LEAST_DOUBLES}"
    return "" if n >= LEAST_DOUBLES else told


def _contexts(card: Card) -> str:
    shared = card.get("contexts_that_share", [])
    if "cells_per_context" not in card:
        return "whole contexts are held out, and the row names no context_key"
    told = f"{len(shared)} contexts with controls share a perturbation"
    return "" if len(shared) > 1 else f"{told}; at least two are needed"


def _cells_alone(card: Card) -> str:
    kinds = card.get("cells_per_modality", {})
    return "single cells and spots in one matrix: the split for that is `spatial`" if "spatial" in kinds else ""


def _spots(card: Card) -> str:
    if "spatial" in card.get("cells_per_modality", {}):
        return "" if card.get("spatial") else "its spots have no positions (obsm `spatial`, n x 2)"
    if card["query"]:
        told = f"its query dataset {card['query']!r} holds no spots: no positions (obsm `spatial`, n x 2, finite)"
        return "" if card.get("query_is_spatial") else told
    return "genes of spots are predicted from single cells, and the row names no query dataset with spots"


def _one_gene_space(card: Card) -> str:
    if card["genes_of_second"] >= LEAST_SHARED:
        return ""
    told = f"{card['genes_of_second']} genes of the RNA are told of by the second modality; at least {LEAST_SHARED}"
    if card["second"] == "atac" and not card["gene_positions"]:
        return f"peaks become gene activity by a map, and the row names no gene_positions ({told})"
    return told


def _pairs(card: Card) -> str:
    found = f"{card['pairs']} cells are in both modalities by their ids; at least {LEAST_PAIRS}"
    return "" if card["pairs"] >= LEAST_PAIRS else f"pairs are needed: {found} (unpaired data have the split unpaired)"


SPLIT_NEEDS: dict[tuple[str, str], Callable[[Card], str]] = {
    ("multiomic_integration", "unpaired"): _one_gene_space,
    ("multiomic_integration", "unpaired_labels"): _one_gene_space,
    ("multiomic_integration", "paired"): _pairs,
    ("multiomic_integration", "mosaic"): _pairs,
    ("cell_type_annotation", "inter"): _inter,
    **needs_annotation.SPLITS,
    ("gene_network", "halves"): _halves,
    ("gene_network", "by_type"): _by_type,
    ("perturbation", "unseen_perturbation"): _singles,
    ("perturbation", "unseen_combination"): _doubles,
    ("perturbation", "unseen_context"): _contexts,
    ("imputation", "thinning"): _cells_alone,
    ("imputation", "masked"): _cells_alone,
    ("imputation", "spatial"): _spots,
}
"""(task, split) -> why the split cannot be made, or an empty text; splits that need nothing more are absent."""


def lacking(card: Card, task: str) -> list[Need]:
    """Return what a dataset lacks for a task; an empty list where it can carry it."""
    return [need for check in NEEDS[task] for need in check(card)]


def split_reason(card: Card, task: str, split: str) -> str:
    """Return why a dataset cannot carry a split of a task that it can carry, or an empty text."""
    check = SPLIT_NEEDS.get((task, split))
    return check(card) if check else ""
