"""Methods text: how the numbers were made, and the definition and source of every metric in the report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sceval.report.load import Results

REGISTRY = "sceval.metrics.registry"
_LINK = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)(10\.\d{4,9}/[^\s;,)]+)|(https?://[^\s;,)]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Definition:
    """What the report says about a metric; empty text where the registry is silent."""

    metric: str
    name: str
    version: str
    task: str
    direction: str
    range: str
    unit: str
    formula: str
    needs: str
    blind_spots: str
    reference: str
    link: str


def definitions(results: Results) -> list[Definition]:
    """Return the definitions of the metrics that occur in the results, as the metric registry declares them."""
    known = _registry()
    used = dict.fromkeys([*results["summary"].metric, *results["scores"].metric])
    return [_definition(metric, known.get(metric)) for metric in sorted(used, key=str.lower)]


def _registry() -> dict[str, Any]:
    """Return the specifications by metric id; empty where the registry is not installed."""
    try:
        registry = import_module(REGISTRY)
    except ModuleNotFoundError as error:
        if error.name != REGISTRY:
            raise
        return {}
    return dict(registry.METRICS)


def _definition(metric: str, spec: Any) -> Definition:
    direction = {1: "higher is better", -1: "lower is better"}.get(getattr(spec, "direction", None), "")
    reference = _text(spec, "reference")
    return Definition(
        metric,
        _text(spec, "name"),
        _text(spec, "version"),
        _text(spec, "tasks"),
        direction,
        _range(getattr(spec, "range", None)),
        _text(spec, "unit"),
        _text(spec, "formula"),
        _text(spec, "needs"),
        _text(spec, "blind_spots"),
        reference,
        link(reference),
    )


def _text(spec: Any, name: str) -> str:
    value = getattr(spec, name, None)
    if value is None:
        return ""
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(str(part) for part in (sorted(value) if isinstance(value, (set, frozenset)) else value))
    return str(value)


def _range(value: Any) -> str:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return "" if value is None else str(value)
    low, high = ("" if end is None else f"{end:g}".replace("inf", "∞").replace("-", "−") for end in value)
    return f"{low or '−∞'} to {high or '∞'}"


def link(reference: str) -> str:
    """Return the address that a reference names (a DOI or a web address), or empty text."""
    found = _LINK.search(reference)
    if not found:
        return ""
    return f"https://doi.org/{found[1].rstrip('.')}" if found[1] else found[2].rstrip(".")
