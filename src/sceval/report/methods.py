"""Methods text: the definition and source of every metric in the report, as the metric registry declares them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sceval.metrics.registry import ANCHOR_RULES, METRICS
from sceval.report.text import number

if TYPE_CHECKING:
    from sceval.metrics.registry import Metric
    from sceval.report.load import Results

_DOI = re.compile(r"\b10\.\d{4,9}/[^\s;,)]+")
_ARXIV = re.compile(r"\barXiv[ :](\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Definition:
    """What the report says about a metric; `metric` is None where the registry does not know it."""

    id: str
    metric: Metric | None
    span: str = ""
    anchors: str = ""
    link: str = ""


def label(metric: str | None) -> str:
    """Return the name of a metric; its id where the registry does not know it."""
    return METRICS[metric].name if metric in METRICS else (metric or "")


def definitions(results: Results) -> list[Definition]:
    """Return the definitions of the metrics that occur in the results, in the order of the registry."""
    used = set(results["summary"].metric) | set(results["scores"].metric)
    known = [_definition(METRICS[name]) for name in METRICS if name in used]
    return known + [Definition(name, None) for name in sorted(used - set(METRICS))]


def _definition(metric: Metric) -> Definition:
    low, high = (_end(end) for end in metric.range)
    return Definition(
        metric.id, metric, f"{low} to {high}", ANCHOR_RULES.get(metric.anchors, ""), link(metric.reference)
    )


def _end(value: float) -> str:
    if math.isinf(value):
        return "no limit"
    return number(value, 0 if float(value).is_integer() else 2)


def link(reference: str) -> str:
    """Return the address of a reference that names a DOI or an arXiv number, or empty text."""
    doi, arxiv = _DOI.search(reference), _ARXIV.search(reference)
    if doi:
        return f"https://doi.org/{doi[0].rstrip('.')}"
    return f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else ""
