"""Quality against cost, as inline SVG with the front of variants that nobody beats in both."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sceval.report.figures import Scale, marker, ticks
from sceval.report.methods import label
from sceval.report.text import KIND_LABEL, interval, number, seconds

if TYPE_CHECKING:
    from sceval.report.boards import Board
    from sceval.report.entries import Entry

WIDTH, HEIGHT = 500, 330
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 14, 44
LETTER = 6.4
"""Mean width of a letter in pixels, to judge whether names would overlap."""
PLACES = (
    *((9, 4, "start"), (0, -10, "middle"), (-9, 4, "end"), (0, 19, "middle"), (9, -8, "start"), (9, 16, "start")),
    *((-9, -8, "end"), (-9, 16, "end")),
)
"""Where a name may stand beside its mark, best first."""


def pareto(entries: list[Entry], direction: int) -> list[Entry]:
    """Return the entries that nobody beats in both value and CPU time, cheapest first."""
    front: list[Entry] = []
    for entry in sorted(entries, key=lambda e: (e.cpu_s, -direction * e.value)):
        if not front or direction * entry.value > direction * front[-1].value:
            front.append(entry)
    return front


def scatter(board: Board) -> Markup | None:
    """Draw the value of a board against CPU time; None where fewer than two variants have both."""
    name = f"{label(board.metric)} against CPU seconds on {board.dataset}"
    return draw(board.entries, board.direction, label(board.metric), name)


def draw(entries: list[Entry], direction: int, axis: str, name: str) -> Markup | None:
    """Draw values against CPU time with the front of what is ranked; None where fewer than two entries have both.

    Parameters
    ----------
    entries
        What is drawn, with value, its interval, kind and CPU seconds.
    direction
        +1 where high is good, -1 where low is.
    axis
        Name of the value.
    name
        What the figure shows, for who does not see it.
    """
    entries = [e for e in entries if e.cpu_s and e.cpu_s > 0 and e.value is not None]
    if len(entries) < 2:
        return None
    logs = [math.log10(e.cpu_s) for e in entries]
    low, high = min(logs) - 0.15, max(logs) + 0.35
    sx = Scale(low, high, LEFT, WIDTH - RIGHT)
    ends = [x for e in entries for x in (e.value, e.value_low, e.value_high) if x is not None]
    pad = (max(ends) - min(ends) or 1) * 0.06
    sy = Scale(min(ends) - pad, max(ends) + pad, HEIGHT - BOTTOM, TOP)
    parts = [_grid(sx, sy)]
    front = pareto([e for e in entries if e.ranked], direction)
    if front:
        steps = f"M{sx(math.log10(front[0].cpu_s))} {sy(front[0].value)}"
        steps += "".join(f"H{sx(math.log10(e.cpu_s))}V{sy(e.value)}" for e in front[1:]) + f"H{WIDTH - RIGHT}"
        parts.append(f'<path class="front" d="{steps}"/>')
    flat = zip(front, [*(e.cpu_s for e in front[1:]), 10.0**high], strict=True)
    lines = [(sx(math.log10(e.cpu_s)) + 8, sy(e.value) - 1, sx(math.log10(to)), sy(e.value) + 1) for e, to in flat]
    places = [(sx(math.log10(e.cpu_s)), sy(e.value)) for e in entries]
    for entry, (x, y) in zip(entries, places, strict=True):
        ends = interval(entry.value_low, entry.value_high)
        numbers = f"{number(entry.value)} {ends}, {seconds(entry.cpu_s)} CPU"
        tip = escape(f"{entry.variant} ({KIND_LABEL[entry.kind]}): {numbers}")
        whisker = ""
        if entry.value_low is not None and entry.value_high is not None:
            whisker = f'<path class="whisker {entry.kind}" d="M{x} {sy(entry.value_low)}V{sy(entry.value_high)}"/>'
        parts.append(f"<g><title>{tip}</title>{whisker}{marker(entry.kind, x, y, 5)}</g>")
    parts.append(_labels(entries, places, front, lines))
    better = "higher is better" if direction == 1 else "lower is better"
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="title" x="{middle[0]}" y="{HEIGHT - 8}">CPU seconds of a run (log scale)</text>')
    turned = f'transform="translate(13 {middle[1]}) rotate(-90)"'
    parts.append(f'<text class="title" {turned}>{escape(axis)} ({better})</text>')
    opening = f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
    return Markup(opening + "".join(parts) + "</svg>")


def _grid(sx: Scale, sy: Scale) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    decades = sx.high - sx.low
    factors = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3.5 else (1,)
    parts = []
    for power in range(math.floor(sx.low), math.ceil(sx.high) + 1):
        for factor in factors:
            x = sx(power + math.log10(factor))
            if LEFT <= x <= right:
                parts.append(f'<path class="grid" d="M{x} {TOP}V{bottom}"/>')
                parts.append(f'<text class="tx" x="{x}" y="{bottom + 16}">{factor * 10.0**power:g}</text>')
    for tick in ticks(sy.low, sy.high):
        y = sy(tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
        parts.append(f'<text class="ty" x="{LEFT - 7}" y="{y + 4}">{number(tick, 2)}</text>')
    return "".join(parts)


def _labels(
    entries: list[Entry], places: list[tuple[float, float]], front: list[Entry], lines: list[tuple[float, ...]]
) -> str:
    """Name the points; a name that would cover another name or a mark is left to the table and to the tool tip."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places] + lines
    order = sorted(range(len(entries)), key=lambda n: (entries[n] not in front, not entries[n].ranked))
    parts = []
    for n in order:
        (x, y), name = places[n], entries[n].variant
        name = name if len(name) <= 28 else name[:27] + "…"
        wide = LETTER * len(name)
        for dx, dy, anchor in PLACES:
            x0 = x + dx - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
            box = (x0, y + dy - 10, x0 + wide, y + dy + 2)
            if box[0] < LEFT + 2 or box[2] > WIDTH or box[1] < 4 or box[3] > HEIGHT - BOTTOM + 2:
                continue
            if not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken):
                taken.append(box)
                look = f'class="label{" strong" if entries[n] in front else ""} {entries[n].kind}"'
                spot = f'x="{x + dx:g}" y="{y + dy:g}" text-anchor="{anchor}"'
                parts.append(f"<text {look} {spot}>{escape(name)}</text>")
                break
    return "".join(parts)
