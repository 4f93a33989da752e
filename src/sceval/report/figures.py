"""Inline SVG, the shared parts: scales, marks, interval bars. Colors come from the style sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from sceval.report.entries import Entry

BAR_WIDTH, BAR_HEIGHT = 170, 22
LIMITS = (-0.75, 1.75)
"""Ends beyond these on the two-anchor scale are drawn as an arrow, so that one wild run does not squash the others."""


@dataclass(frozen=True)
class Scale:
    """Linear map from data to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the position of a value in pixels, rounded to a tenth."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start), 1)


def anchor_scale(entries: list[Entry]) -> Scale:
    """Return the common two-anchor scale of a board: 0 and 1 always inside, never beyond `LIMITS`."""
    ends = [x for e in entries for x in (e.scaled, e.low, e.high) if x is not None and math.isfinite(x)]
    low = max(LIMITS[0], min([-0.08, *ends]))
    high = min(LIMITS[1], max([1.08, *ends]))
    return Scale(low, high, 6, BAR_WIDTH - 6)


def marker(kind: str, x: float, y: float, size: float = 4.5) -> str:
    """Return the mark of a kind: disc = model, square = baseline, ring = blind control, open diamond = oracle."""
    if kind == "baseline":
        return f'<rect class="m {kind}" x="{x - size:g}" y="{y - size:g}" width="{2 * size:g}" height="{2 * size:g}"/>'
    if kind == "positive_control":
        s = size + 1
        return f'<path class="m {kind}" d="M{x:g} {y - s:g}l{s:g} {s:g}l{-s:g} {s:g}l{-s:g} {-s:g}z"/>'
    return f'<circle class="m {kind}" cx="{x:g}" cy="{y:g}" r="{size:g}"/>'


def bar(entry: Entry, scale: Scale) -> Markup:
    """Draw the scaled value with its interval between the two anchors."""
    y = BAR_HEIGHT / 2
    zero, one = scale(0), scale(1)
    parts = [f'<path class="anchor" d="M{zero} 0V{BAR_HEIGHT}M{one} 0V{BAR_HEIGHT}"/>']
    if entry.scaled is not None:
        x = scale(min(max(entry.scaled, scale.low), scale.high))
        parts.append(f'<path class="reach {entry.kind}" d="M{zero} {y}H{x}"/>')
        if entry.low is not None and entry.high is not None:
            ends = [scale(min(max(end, scale.low), scale.high)) for end in (entry.low, entry.high)]
            caps = "".join(f"M{end} {y - 4}v8" for end in ends)
            parts.append(f'<path class="whisker {entry.kind}" d="M{ends[0]} {y}H{ends[1]}{caps}"/>')
        if entry.scaled < scale.low or entry.scaled > scale.high:
            way = 1 if entry.scaled > scale.high else -1
            parts.append(f'<path class="beyond {entry.kind}" d="M{x - 5 * way} {y - 5}l{6 * way} 5l{-6 * way} 5"/>')
        else:
            parts.append(marker(entry.kind, x, y))
    return _strip("bar", BAR_HEIGHT, "".join(parts))


def bar_axis(scale: Scale) -> Markup:
    """Draw the labels 0 and 1 over the interval bars."""
    labels = "".join(f'<text x="{scale(v)}" y="11">{v}</text>' for v in (0, 1))
    return _strip("bar axis", 14, labels)


def _strip(name: str, height: int, content: str) -> Markup:
    size = f'viewBox="0 0 {BAR_WIDTH} {height}" width="{BAR_WIDTH}" height="{height}"'
    return Markup(f'<svg class="{name}" {size} aria-hidden="true">{content}</svg>')


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Return round numbers inside a range."""
    raw = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step)
    return [round(n * step, 10) for n in range(first, math.floor(high / step) + 1)]
