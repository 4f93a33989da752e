"""The stress axis: how a score changes with the strength of a planted effect, one small panel per variant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sceval.report.figures import Scale, marker, ticks
from sceval.report.methods import label
from sceval.report.text import interval, number, slug

if TYPE_CHECKING:
    from sceval.report.boards import Board
    from sceval.report.entries import Entry

WIDTH, HEIGHT = 190, 132
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 8, 22


@dataclass
class Family:
    """Datasets that differ in the strength of one planted effect."""

    name: str
    task: str
    split: str
    metric: str
    strengths: list[float]
    panels: list[Panel] = field(default_factory=list)
    symbol: str = ""

    @property
    def anchor(self) -> str:
        """Id in deep links."""
        return slug("stress", self.name, self.task, self.split)


@dataclass
class Panel:
    """One variant over the strengths."""

    variant: str
    kind: str
    svg: Markup
    values: list[str]
    change: str


def families(cards: list[dict], boards: list[Board]) -> list[Family]:
    """Group the boards of datasets that share `family` and differ in `strength`; two strengths at least."""
    strength = {
        c["dataset"]: (c["family"], float(c["strength"]))
        for c in cards
        if c.get("family") and c.get("strength") is not None
    }
    groups: dict[tuple[str, str, str, str], dict[float, Board]] = {}
    for board in boards:
        if board.dataset in strength and board.metric:
            name, value = strength[board.dataset]
            groups.setdefault((name, board.task, board.split, board.metric), {})[value] = board
    return [_family(*key, dict(sorted(group.items()))) for key, group in groups.items() if len(group) > 1]


def _family(name: str, task: str, split: str, metric: str, group: dict[float, Board]) -> Family:
    lines: dict[str, dict[float, Entry]] = {}
    for value, board in group.items():
        for entry in board.entries:
            lines.setdefault(entry.variant, {})[value] = entry
    ends = [
        x
        for line in lines.values()
        for e in line.values()
        for x in (e.value, e.value_low, e.value_high)
        if x is not None
    ]
    pad = (max(ends) - min(ends) or 1) * 0.05
    strengths = list(group)
    sx = Scale(strengths[0], strengths[-1], LEFT + 6, WIDTH - RIGHT - 6)
    sy = Scale(min(ends) - pad, max(ends) + pad, HEIGHT - BOTTOM, TOP)
    family = Family(name, task, split, metric, strengths)
    ground = "".join(f'<path class="ghost" d="{_path(line, sx, sy)}"/>' for line in lines.values())
    axis = "".join(
        f'<path class="grid" d="M{LEFT} {sy(t)}H{WIDTH - RIGHT}"/>'
        f'<text class="ty sm" x="{LEFT - 5}" y="{sy(t) + 3.5}">{t:g}</text>'
        for t in ticks(sy.low, sy.high, 4)
    )
    axis += "".join(f'<text class="tx sm" x="{sx(s)}" y="{HEIGHT - 7}">{s:g}</text>' for s in strengths)
    family.symbol = Markup(
        f'<symbol id="{family.anchor}-ground" viewBox="0 0 {WIDTH} {HEIGHT}">{axis}{ground}</symbol>'
    )
    last = group[strengths[-1]]
    order = [entry.variant for entry in last.entries] + [v for v in lines if v not in {e.variant for e in last.entries}]
    family.panels = [_panel(family, variant, lines[variant], sx, sy) for variant in order]
    return family


def _path(line: dict[float, Entry], sx: Scale, sy: Scale) -> str:
    return "M" + "L".join(f"{sx(s)} {sy(e.value)}" for s, e in line.items())


def _panel(family: Family, variant: str, line: dict[float, Entry], sx: Scale, sy: Scale) -> Panel:
    kind = next(iter(line.values())).kind
    banded = {s: e for s, e in line.items() if e.value_low is not None and e.value_high is not None}
    band = ""
    if len(banded) > 1:
        upper = [f"{sx(s)} {sy(e.value_high)}" for s, e in banded.items()]
        lower = [f"{sx(s)} {sy(e.value_low)}" for s, e in reversed(banded.items())]
        band = f'<path class="band {kind}" d="M{"L".join(upper + lower)}z"/>'
    marks = "".join(marker(kind, sx(s), sy(e.value), 3) for s, e in line.items())
    drawing = f'<use href="#{family.anchor}-ground"/>{band}<path class="line {kind}" d="{_path(line, sx, sy)}"/>{marks}'
    name = escape(f"{variant}: {label(family.metric)} over effect strength")
    svg = Markup(f'<svg class="panel" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{drawing}</svg>')
    values = [
        f"{number(line[s].value)} {interval(line[s].value_low, line[s].value_high)}".strip() if s in line else "–"
        for s in family.strengths
    ]
    first, last = line.get(family.strengths[0]), line.get(family.strengths[-1])
    change = number(last.value - first.value, 2) if first and last else ""
    return Panel(variant, kind, svg, values, change)
