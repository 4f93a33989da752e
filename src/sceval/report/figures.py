"""Inline SVG: interval bars, quality against cost, the stress axis. Colors come from the style sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sceval.report.methods import label
from sceval.report.text import KIND_LABEL, interval, number, seconds

if TYPE_CHECKING:
    from sceval.report.boards import Board, Entry

BAR_WIDTH, BAR_HEIGHT = 180, 22
PLACES = (
    *((9, 4, "start"), (0, -10, "middle"), (-9, 4, "end"), (0, 19, "middle"), (9, -8, "start"), (9, 16, "start")),
    *((-9, -8, "end"), (-9, 16, "end")),
)
"""Where a name may stand beside its mark, best first."""
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
            parts.append(f'<path class="whisker {entry.kind}" d="M{ends[0]} {y}H{ends[1]}M{ends[0]} {y - 4}v8M{ends[1]} {y - 4}v8"/>')
        if entry.scaled < scale.low or entry.scaled > scale.high:
            way = 1 if entry.scaled > scale.high else -1
            parts.append(f'<path class="beyond {entry.kind}" d="M{x - 5 * way} {y - 5}l{6 * way} 5l{-6 * way} 5"/>')
        else:
            parts.append(marker(entry.kind, x, y))
    svg = f'<svg class="bar" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" aria-hidden="true">'
    return Markup(svg + "".join(parts) + "</svg>")


def bar_axis(scale: Scale) -> Markup:
    """Draw the labels 0 and 1 over the interval bars."""
    labels = "".join(f'<text x="{scale(v)}" y="11">{v}</text>' for v in (0, 1))
    return Markup(f'<svg class="bar axis" viewBox="0 0 {BAR_WIDTH} 14" width="{BAR_WIDTH}" height="14" aria-hidden="true">{labels}</svg>')


def pareto(entries: list[Entry], direction: int) -> list[Entry]:
    """Return the entries that nobody beats in both value and CPU time, cheapest first."""
    front: list[Entry] = []
    for entry in sorted(entries, key=lambda e: (e.cpu_s, -direction * e.value)):
        if not front or direction * entry.value > direction * front[-1].value:
            front.append(entry)
    return front


def scatter(board: Board) -> Markup | None:
    """Draw the value of a board against CPU time; None where fewer than two variants have both."""
    entries = [e for e in board.entries if e.cpu_s and e.cpu_s > 0 and e.value is not None]
    if len(entries) < 2:
        return None
    width, height, left, right, top, bottom = 640, 380, 56, 24, 16, 46
    logs = [math.log10(e.cpu_s) for e in entries]
    low, high = min(logs) - 0.15, max(logs) + 0.35
    sx = Scale(low, high, left, width - right)
    ends = [x for e in entries for x in (e.value, e.value_low, e.value_high) if x is not None]
    pad = (max(ends) - min(ends) or 1) * 0.06
    sy = Scale(min(ends) - pad, max(ends) + pad, height - bottom, top)
    parts = [_grid(sx, sy, width - right, height - bottom, left, top)]
    front = pareto([e for e in entries if e.ranked], board.direction)
    if front:
        steps = f"M{sx(math.log10(front[0].cpu_s))} {sy(front[0].value)}"
        steps += "".join(f"H{sx(math.log10(e.cpu_s))}V{sy(e.value)}" for e in front[1:]) + f"H{width - right}"
        parts.append(f'<path class="front" d="{steps}"/>')
    flat = zip(front, [*(e.cpu_s for e in front[1:]), 10.0**high], strict=True)
    lines = [(sx(math.log10(e.cpu_s)) + 8, sy(e.value) - 1, sx(math.log10(to)), sy(e.value) + 1) for e, to in flat]
    places = [(sx(math.log10(e.cpu_s)), sy(e.value)) for e in entries]
    for entry, (x, y) in zip(entries, places, strict=True):
        tip = f"{entry.variant} ({KIND_LABEL[entry.kind]}): {number(entry.value)} {interval(entry.value_low, entry.value_high)}, {seconds(entry.cpu_s)} CPU"
        whisker = ""
        if entry.value_low is not None and entry.value_high is not None:
            whisker = f'<path class="whisker {entry.kind}" d="M{x} {sy(entry.value_low)}V{sy(entry.value_high)}"/>'
        parts.append(f"<g><title>{escape(tip)}</title>{whisker}{marker(entry.kind, x, y, 5)}</g>")
    parts.append(_labels(entries, places, front, lines, width))
    better = "higher is better" if board.direction == 1 else "lower is better"
    parts.append(f'<text class="title" x="{(left + width - right) / 2}" y="{height - 8}">CPU seconds of a run (log scale)</text>')
    parts.append(f'<text class="title" transform="translate(13 {(top + height - bottom) / 2}) rotate(-90)">{escape(label(board.metric))} ({better})</text>')
    name = escape(f"{label(board.metric)} against CPU seconds on {board.dataset}")
    return Markup(f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{name}">{"".join(parts)}</svg>')


def _grid(sx: Scale, sy: Scale, right: float, bottom: float, left: float, top: float) -> str:
    parts = []
    for power in range(math.floor(sx.low), math.ceil(sx.high) + 1):
        for factor in (1, 3) if sx.high - sx.low < 4 else (1,):
            log = power + math.log10(factor)
            if sx.low <= log <= sx.high:
                label = f"{factor * 10.0**power:g}"
                parts.append(f'<path class="grid" d="M{sx(log)} {top}V{bottom}"/><text class="tx" x="{sx(log)}" y="{bottom + 16}">{label}</text>')
    for tick in ticks(sy.low, sy.high):
        parts.append(f'<path class="grid" d="M{left} {sy(tick)}H{right}"/><text class="ty" x="{left - 7}" y="{sy(tick) + 4}">{number(tick, 2)}</text>')
    return "".join(parts)


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Return round numbers inside a range."""
    raw = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw)
    first = math.ceil(low / step)
    return [round(n * step, 10) for n in range(first, math.floor(high / step) + 1)]


def _labels(entries: list[Entry], places: list[tuple[float, float]], front: list[Entry], lines: list[tuple], width: float) -> str:
    """Name the points; a name that would cover another name or a mark is left to the table and to the tool tip."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places] + lines
    order = sorted(range(len(entries)), key=lambda n: (entries[n] not in front, not entries[n].ranked))
    parts = []
    for n in order:
        (x, y), name = places[n], entries[n].variant
        name = name if len(name) <= 28 else name[:27] + "…"
        wide = 6.3 * len(name)
        for dx, dy, anchor in PLACES:
            x0 = x + dx - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
            box = (x0, y + dy - 10, x0 + wide, y + dy + 2)
            if box[0] < 58 or box[2] > width or box[1] < 4 or box[3] > 336:
                continue
            if not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
                taken.append(box)
                strong = " strong" if entries[n] in front else ""
                parts.append(f'<text class="label{strong} {entries[n].kind}" x="{x + dx:g}" y="{y + dy:g}" text-anchor="{anchor}">{escape(name)}</text>')
                break
    return "".join(parts)
