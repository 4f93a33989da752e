"""Rows of the run table, the findings and the dataset cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sceval.report.text import STATUS_LABEL, missing

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.load import Results

LEVELS = ("error", "warning", "info")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as dictionaries in which every kind of empty cell is None."""
    return [{k: None if missing(v) else v for k, v in row.items()} for row in table.to_dict("records")]


def run_rows(results: Results) -> list[dict[str, Any]]:
    """Return one row for each planned run: those of `runs`, and those that only the plan knows as not run."""
    rows = records(results["runs"])
    known = {row["run_id"] for row in rows}
    for row in records(results["plan"]):
        if row["run_id"] in known:
            continue
        absent = row["status"] == "not_applicable"
        reason = row["reason"] or (
            "no reason was recorded" if absent else "planned, but the run table does not list it"
        )
        rows.append(row | {"status": "not_applicable" if absent else "not_run", "reason": reason})
    for row in rows:
        row["warnings"] = [part for part in (row.get("warnings") or "").split(" | ") if part]
    order = list(STATUS_LABEL)
    return sorted(
        rows,
        key=lambda r: (order.index(r["status"]) == 0, r["task"], r["dataset"], r["split"], r["variant"], r["seed"]),
    )


def silent(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> set[str]:
    """Return the columns in which no run has a value; a table need not show them."""
    return {name for name in columns if all(row.get(name) is None for row in rows)}


def weights_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pre-trained weights that runs start from: model, weights, licence, digest, number of runs."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if not row.get("weights"):
            continue
        entry = found.setdefault(
            (row["model"], row["weights"]),
            {"model": row["model"], "weights": row["weights"], "licence": None, "sha256": None, "n_runs": 0},
        )
        entry["licence"] = entry["licence"] or row.get("weights_licence")
        entry["sha256"] = entry["sha256"] or row.get("weights_sha256")
        entry["n_runs"] += 1
    return [found[key] for key in sorted(found)]


def status_counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Count the runs by status, every status named."""
    return {status: sum(row["status"] == status for row in rows) for status in STATUS_LABEL}


def finding_rows(results: Results) -> list[dict[str, Any]]:
    """Return the findings, the gravest first, equal sentences of one dataset and task joined with their runs."""
    joined: dict[tuple, dict[str, Any]] = {}
    for row in records(results["findings"]):
        key = (row["level"], row["dataset"], row["task"], row["finding"])
        joined.setdefault(key, {**row, "runs": []})["runs"].extend(filter(None, [row["run_id"]]))
    return sorted(joined.values(), key=lambda row: LEVELS.index(row["level"]))


def dataset_cards(results: Results) -> list[dict[str, Any]]:
    """Return the dataset cards; a dataset that has runs but no card gets a bare one."""
    cards = [dict(card) for card in results.datasets]
    known = {card["dataset"] for card in cards}
    for name in dict.fromkeys([*results["runs"].dataset, *results["plan"].dataset]):
        if name not in known:
            cards.append({"dataset": name, "notes": "No card: datasets.json does not list it."})
    for card in cards:
        for column in ("cells_per_batch", "cells_per_type"):
            counts = card.get(column)
            card[column] = counts if isinstance(counts, dict) else {}
    return cards
