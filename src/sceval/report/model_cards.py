"""A card for each model: licences, weights, commercial use, genes recognised, cost, citation, fate of its runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from sceval.report.tables import weights_rows
from sceval.report.text import STATUS_LABEL

if TYPE_CHECKING:
    from sceval.report.load import Results

FORBIDS = ("no commercial use", "non-commercial", "noncommercial", "-nc-", "by-nc")
"""Words of a licence that forbid commercial use."""


@dataclass
class ModelCard:
    """What the tables say about one model.

    Attributes
    ----------
    facts
        What its program answered to `info`: title, version, licence, citation ...; empty where the results lack it.
    weights
        Weights that its runs start from, each with licence and digest.
    commercial
        The licence that forbids commercial use, empty where none here does.
    in_use
        Whether that is the licence of weights that runs start from; else it is that of what was published.
    genes
        (lowest, highest) share of a dataset's genes that it knows, None where no run says so.
    costs
        One row for each task and regime: medians of CPU seconds, wall seconds and memory over its runs.
    statuses
        Status -> number of runs.
    reasons
        Distinct reasons of runs without a score, with their number, the most frequent first.
    """

    model: str
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    weights: list[dict[str, Any]] = field(default_factory=list)
    commercial: str = ""
    in_use: bool = False
    genes: tuple[float, float] | None = None
    costs: list[dict[str, Any]] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    reasons: list[tuple[str, str, int]] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)

    @property
    def control(self) -> bool:
        """Whether it is a control."""
        return self.kind.endswith("_control")


def model_cards(rows: list[dict[str, Any]], results: Results) -> list[ModelCard]:
    """Return a card for each model, baseline and control, in this order, then by name.

    Parameters
    ----------
    rows
        Rows of the run table, those that only the plan knows included.
    results
        For `models` in versions.json.
    """
    known = results.versions.get("models")
    facts = known if isinstance(known, dict) else {}
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    cards = [_card(model, mine, facts.get(model)) for model, mine in by_model.items()]
    order = ("model", "baseline", "negative_control", "positive_control")
    return sorted(cards, key=lambda card: (order.index(card.kind), card.model))


def _card(model: str, rows: list[dict[str, Any]], answer: Any) -> ModelCard:
    fine = [row for row in rows if row["status"] == "ok"]
    shares = [row["genes_recognised"] for row in rows if row.get("genes_recognised") is not None]
    weights = weights_rows(rows)
    facts = answer if isinstance(answer, dict) else {}
    used = next((row["licence"] for row in weights if forbids_commerce(row["licence"] or "")), "")
    said = str(facts.get("licence") or "")
    reasons: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["status"] != "ok" and row.get("reason"):
            reasons[row["status"], row["reason"]] = reasons.get((row["status"], row["reason"]), 0) + 1
    return ModelCard(
        model,
        rows[0]["kind"],
        facts=facts,
        weights=weights,
        commercial=used or (said if forbids_commerce(said) else ""),
        in_use=bool(used),
        genes=(min(shares), max(shares)) if shares else None,
        costs=_costs(fine),
        statuses={status: n for status in STATUS_LABEL if (n := sum(row["status"] == status for row in rows))},
        reasons=[(*key, n) for key, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))],
        programs=list(dict.fromkeys(_program(row) for row in fine)),
    )


def _program(row: dict[str, Any]) -> str:
    parts = [row.get("program") or row["model"], row.get("version"), row.get("image")]
    return ", ".join(str(part) for part in parts if part)


def forbids_commerce(licence: str) -> bool:
    """Return whether the text of a licence forbids commercial use."""
    return any(word in licence.lower() for word in FORBIDS)


def _costs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["regime"]), []).append(row)
    return [
        {"task": task, "regime": regime, "n": len(mine)}
        | {name: _median(mine, *names) for name, names in COLUMNS.items()}
        for (task, regime), mine in groups.items()
    ]


COLUMNS = {
    "cpu_s": ("total_cpu_s", "cpu_s"),
    "wall_s": ("wall_s",),
    "peak_rss_mb": ("peak_rss_mb",),
    "peak_gpu_mb": ("peak_gpu_mb",),
    "cells_per_s": ("cells_per_s",),
}
"""Columns of the cost table, and where each comes from, the better source first."""


def _median(rows: list[dict[str, Any]], *names: str) -> float | None:
    for name in names:
        known = [row[name] for row in rows if row.get(name) is not None]
        if known:
            return float(median(known))
    return None
