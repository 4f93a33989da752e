"""VALIDATE: all that is wrong with the sheets and files, before any model runs; and a card for each dataset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile, ContractError, Problem
from sceval.data.dataset import check_dataset, read_dataset
from sceval.data.extras import card_of_extras
from sceval.data.genes import Genes
from sceval.data.joining import LEAST_SHARED_GENES
from sceval.data.needs import LEAST_SPATIAL_GENES, lacking
from sceval.data.second_modality import card_of_second
from sceval.data.sheets import FILE_COLUMNS, Sheet, nearest


def _counts(values: np.ndarray | None) -> dict[str, int]:
    return (
        dict(sorted(Counter(str(value) for value in values if value is not None).items())) if values is not None else {}
    )


def dataset_card(row: dict[str, Any], data: CellFile) -> dict[str, Any]:
    """Return what the plan and the report need to know of a dataset."""
    batches, types = _counts(data.obs.get("batch")), _counts(data.obs.get("cell_type"))
    labels = data.obs.get("cell_type")
    card = {key: row[key] for key in ("dataset", "path", "organism", "matrix", "tasks", "query", "source", "licence")}
    return (
        card
        | {
            "row": row["row"],
            "sheet_row": row,
            "title": row["title"] or row["dataset"],
            "n_cells": data.n_obs,
            "n_genes": data.n_vars,
            "n_batches": len(batches),
            "n_types": len(types),
            "cells_per_batch": batches,
            "cells_per_type": types,
            "unlabelled": int(sum(label is None for label in labels)) if labels is not None else data.n_obs,
            "semi_synthetic": row["semi_synthetic"] == "yes",
            "family": row["family"],
            "strength": float(row["strength"]) if row["strength"] else None,
            "notes": row["notes"],
            "gene_symbols": [str(name) for name in data.var["gene_symbol"]],
            "ensembl_ids": [str(name) for name in data.var["ensembl_id"]],
        }
        | card_of_extras(data)
        | card_of_second(data)
    )


def task_problems(card: dict[str, Any], task: str, sheet: str) -> list[Problem]:
    """Return why a dataset cannot carry a task; an empty list where it can."""
    place = f"{sheet}, row {card['row']}"
    return [
        Problem(f"{place}, column {need.column}", need.found, f"{need.expected} for {task}")
        for need in lacking(card, task)
    ]


def _orthologue_problems(card: dict[str, Any], query: dict[str, Any], where: str) -> list[Problem]:
    """Return why two datasets of different organisms cannot be joined by orthologues."""
    from sceval.data.joining import shared_by_orthologue

    genes = [
        Genes(one["gene_symbols"], [name or None for name in one["ensembl_ids"]], one["organism"])
        for one in (card, query)
    ]
    shared = len(shared_by_orthologue(*genes).reference)
    if shared >= LEAST_SHARED_GENES:
        return []
    found = f"{query['dataset']!r} ({query['organism']}), which shares {shared} genes by orthologue with "
    found += f"{card['dataset']!r} ({card['organism']})"
    return [Problem(where, found, f"at least {LEAST_SHARED_GENES} (are gene symbols given?)")]


def query_problems(cards: list[dict[str, Any]], genes: dict[str, set[str]], sheet: str) -> list[Problem]:
    """Return why a query dataset cannot be the test part of the dataset that names it.

    Parameters
    ----------
    cards
        Of all usable datasets.
    genes
        Dataset -> ids of its genes (the index of var): what the two are joined by.
    sheet
        Name of the sheet, for messages.
    """
    by_id = {card["dataset"]: card for card in cards}
    problems = []
    for card in cards:
        query = by_id.get(card["query"])
        if query is None:
            continue  # none, unknown or unusable: said elsewhere
        where = f"{sheet}, row {card['row']}, column query"
        card["query_organism"] = query["organism"]
        if query["matrix"] != card["matrix"]:
            found = f"{card['query']!r} with matrix {query['matrix']}"
            problems.append(Problem(where, found, f"{card['matrix']}, as in {card['dataset']!r}"))
        if query["organism"] != card["organism"] and query.get("spatial"):
            found = f"{card['query']!r} with organism {query['organism']}"
            problems.append(Problem(where, found, f"{card['organism']}, as in {card['dataset']!r}, for spots"))
        elif query["organism"] != card["organism"]:
            problems += _orthologue_problems(card, query, where)
            if not query["n_types"]:
                problems.append(Problem(where, f"{card['query']!r} without labels", "a label_key, to be scored"))
            continue
        spots = query.get("spatial", False)
        card["query_is_spatial"] = spots
        if "imputation" in card["tasks"] and not spots:
            found = f"{card['query']!r} without positions in obsm['spatial']"
            problems.append(Problem(where, found, "spots with positions (n x 2, finite) for imputation"))
        if not query["n_types"] and not (spots and "cell_type_annotation" not in card["tasks"]):
            problems.append(Problem(where, f"{card['query']!r} without labels", "a label_key in its row, to be scored"))
        shared = len(genes[card["dataset"]] & genes[card["query"]])
        least = LEAST_SPATIAL_GENES if spots else LEAST_SHARED_GENES
        if shared < least:
            found = f"{card['query']!r}, which shares {shared} gene ids (the index of var) with {card['dataset']!r}"
            problems.append(Problem(where, found, f"at least {least}"))
    return problems


def check_choice(name: str, chosen: list[str], known: list[str]) -> list[Problem]:
    """Return a problem for each chosen word that is not known, with the nearest right one."""
    expected = f"one of {', '.join(known)}"
    return [
        Problem(f"--{name}", repr(word), f"{expected}{nearest(word, known)}") for word in chosen if word not in known
    ]


def validate(
    datasets: Sheet, models: Sheet, params: dict[str, Any], files: dict[str, str], known_tasks: list[str]
) -> tuple[list[dict[str, Any]], list[Problem], list[str]]:
    """Check sheets, parameters and files.

    Parameters
    ----------
    datasets, models
        The sheets as read.
    params
        Pipeline parameters: `models`, `tasks` (lists, empty for all).
    files
        Where the file of a sheet path lies now.
    known_tasks
        Ids of the tasks.

    Returns
    -------
    Cards of the datasets; problems that stop the pipeline; warnings (a dataset that cannot carry a task that its row
    does not ask for is not applicable there, nothing more).
    """
    problems = datasets.problems + models.problems
    problems += check_choice("tasks", params["tasks"], known_tasks)
    problems += check_choice("models", params["models"], [row["model"] for row in models.rows])
    cards, warnings = [], []
    genes: dict[str, set[str]] = {}
    for row in datasets.rows:
        if not row["dataset"] or not row["path"]:
            continue
        here = {column: Path(files[row[column]]) for column in ("path", *FILE_COLUMNS) if row[column] in files}
        try:
            data = read_dataset(row, here.pop("path", None), datasets.path, here)
        except ContractError as error:
            problems += error.problems
            continue
        found = check_dataset(row, data, datasets.path)
        problems += found
        if found:
            continue
        card = dataset_card(row, data)
        cards.append(card)
        genes[card["dataset"]] = set(data.var_names)
        if card["unlabelled"] and "cell_type" in data.obs:
            warnings.append(
                f"{datasets.path}, row {row['row']}: {card['unlabelled']} cells of {card['dataset']} have no label; "
                "they stay in the view and are left out of metrics that need one"
            )
        for task in known_tasks:
            if params["tasks"] and task not in params["tasks"]:
                continue
            unmet = task_problems(card, task, datasets.path)
            if task in row["tasks"]:
                problems += unmet
            elif not row["tasks"]:
                warnings += [f"{problem}; {task} is not applicable to {card['dataset']}" for problem in unmet]
    return cards, problems + query_problems(cards, genes, datasets.path), warnings
