"""How far the rank by S_final depends on its weights: 0.6 for biology kept, 0.4 for batch removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from sceval.report.boards import group
from sceval.report.figures import Scale, marker, ticks
from sceval.report.text import KIND_LABEL, missing, number, slug

if TYPE_CHECKING:
    from sceval.report.boards import Board
    from sceval.report.entries import Entry
    from sceval.report.load import Results

STUDY = 0.6
"""Weight of S_bio in the study (Liu et al. 2023)."""
SHOWN = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
"""Weights of S_bio whose ranks are shown."""
NAMED_FROM = 0.12
"""A leader over a shorter stretch of the weight is named in the text alone."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 260, 50, 12, 14, 42


@dataclass(frozen=True)
class Part:
    """The two parts of one variant, and its rank at each weight of `SHOWN`."""

    entry: Entry
    bio: float
    batch: float
    ranks: list[int]


@dataclass(frozen=True)
class Sensitivity:
    """One board.

    Attributes
    ----------
    board
        Whose ranks are asked about.
    parts
        The variants that compete, best at the study's weight first.
    leads
        Stretches of the weight of S_bio and the variant that is first there: (from, to, variant).
    plot
        S_final over the weight.
    front
        S_bio against S_batch, with the variants that nobody beats in both.
    """

    board: Board
    parts: list[Part]
    leads: list[tuple[float, float, str]]
    plot: Markup
    front: Markup

    @property
    def anchor(self) -> str:
        """Id in deep links."""
        return slug("weights", self.board.anchor)

    @property
    def steady(self) -> bool:
        """Whether one variant is first at every weight."""
        return len(self.leads) == 1


def sensitivities(results: Results, boards: list[Board]) -> list[Sensitivity]:
    """Return the boards whose variants have S_bio and S_batch; two that compete at least."""
    found = []
    for board in boards:
        summary = group(results["summary"], (board.task, board.dataset, board.split))
        values = {(row.variant, row.metric): row.value for row in summary.itertuples(index=False)}
        pairs = [(e, values.get((e.variant, "s_bio")), values.get((e.variant, "s_batch"))) for e in board.ranked]
        pairs = [(e, float(bio), float(batch)) for e, bio, batch in pairs if not missing(bio) and not missing(batch)]
        if len(pairs) >= 2:
            found.append(_board(board, pairs))
    return found


def leads(points: list[tuple[str, float, float]]) -> list[tuple[float, float, str]]:
    """Return who is first over the weight w of S_bio in w * bio + (1 - w) * batch: (from, to, name), exact.

    The upper envelope of straight lines: from the best at 0 on, the next leader is the line with a steeper slope that
    crosses first.
    """
    name, bio, batch = max(points, key=lambda p: (p[2], p[1]))
    start, found = 0.0, []
    while True:
        crossings = []
        for other, b, a in points:
            steeper = (b - a) - (bio - batch)
            if steeper > 0 and start <= (at := (batch - a) / steeper) < 1:
                crossings.append((at, -steeper, other, b, a))
        if not crossings:
            return [*found, (start, 1.0, name)]
        at, _, other, b, a = min(crossings)
        if at > start:
            found.append((start, at, name))
        start, name, bio, batch = at, other, b, a


def _board(board: Board, pairs: list[tuple[Entry, float, float]]) -> Sensitivity:
    def scores(weight: float) -> list[float]:
        return [weight * bio + (1 - weight) * batch for _, bio, batch in pairs]

    columns = [[1 + sum(other > mine + 1e-12 for other in s) for mine in s] for s in map(scores, SHOWN)]
    parts = [Part(e, bio, batch, [c[n] for c in columns]) for n, (e, bio, batch) in enumerate(pairs)]
    parts.sort(key=lambda part: (part.ranks[SHOWN.index(STUDY)], part.entry.variant))
    first = leads([(e.variant, bio, batch) for e, bio, batch in pairs])
    return Sensitivity(board, parts, first, _lines(board, parts, first), _front(board, parts))


def _lines(board: Board, parts: list[Part], first: list[tuple[float, float, str]]) -> Markup:
    ends = [x for part in parts for x in (part.bio, part.batch)]
    sx, sy = Scale(0, 1, LEFT, WIDTH - RIGHT), _fit(ends)
    drawn = [_axes(sx, sy, "Weight of S_bio", "S_bio and S_batch weighed")]
    drawn.append(f'<path class="anchor" d="M{sx(STUDY)} {TOP}V{HEIGHT - BOTTOM}"/>')
    for part in sorted(parts, key=lambda p: -p.ranks[SHOWN.index(STUDY)]):
        place = part.ranks[SHOWN.index(STUDY)]
        look = f"line {part.entry.kind}" if place <= 3 else "ghost"
        tip = escape(f"{part.entry.variant}: S_batch {number(part.batch)}, S_bio {number(part.bio)}")
        path = f'<path class="{look}" d="M{sx(0)} {sy(part.batch)}L{sx(1)} {sy(part.bio)}"/>'
        drawn.append(f"<g><title>{tip}</title>{path}</g>")
    of = {part.entry.variant: part for part in parts}
    for low, high, leader in first:
        part, middle = of[leader], (low + high) / 2
        if high - low >= NAMED_FROM:
            x, y = sx(middle), sy(middle * part.bio + (1 - middle) * part.batch) - 8
            drawn.append(f'<text class="label {part.entry.kind}" x="{x}" y="{y:g}" text-anchor="middle">')
            drawn.append(f"{escape(leader[:26])}</text>")
    name = escape(f"S_final over the weight of S_bio on {board.dataset}")
    return _svg(name, drawn)


def _front(board: Board, parts: list[Part]) -> Markup:
    sx, sy = _fit([part.bio for part in parts], LEFT, WIDTH - RIGHT), _fit([part.batch for part in parts])
    drawn = [_axes(sx, sy, "S_bio", "S_batch")]
    best: list[Part] = []
    for part in sorted(parts, key=lambda p: (-p.bio, -p.batch)):
        if not best or part.batch > best[-1].batch:
            best.append(part)
    steps = f"M{sx(best[0].bio)} {HEIGHT - BOTTOM}V{sy(best[0].batch)}"
    steps += "".join(f"H{sx(part.bio)}V{sy(part.batch)}" for part in best[1:]) + f"H{LEFT}"
    drawn.append(f'<path class="front" d="{steps}"/>')
    for part in parts:
        x, y = sx(part.bio), sy(part.batch)
        kind = KIND_LABEL[part.entry.kind]
        tip = escape(f"{part.entry.variant} ({kind}): S_bio {number(part.bio)}, S_batch {number(part.batch)}")
        drawn.append(f"<g><title>{tip}</title>{marker(part.entry.kind, x, y, 5)}</g>")
    for part in best[:4]:
        x = sx(part.bio)
        end = x > WIDTH / 2
        spot = f'x="{x - 9 if end else x + 9:g}" y="{sy(part.batch) - 7:g}" text-anchor="{"end" if end else "start"}"'
        drawn.append(f'<text class="label {part.entry.kind}" {spot}>{escape(part.entry.variant[:26])}</text>')
    return _svg(escape(f"S_bio against S_batch on {board.dataset}"), drawn)


def _fit(values: list[float], start: float = HEIGHT - BOTTOM, stop: float = TOP) -> Scale:
    pad = (max(values) - min(values) or 0.1) * 0.12
    return Scale(min(values) - pad, max(values) + pad, start, stop)


def _axes(sx: Scale, sy: Scale, across: str, up: str) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in ticks(sx.low, sx.high):
        parts.append(f'<path class="grid" d="M{sx(tick)} {TOP}V{bottom}"/>')
        parts.append(f'<text class="tx" x="{sx(tick)}" y="{bottom + 15}">{number(tick, 2)}</text>')
    for tick in ticks(sy.low, sy.high, 5):
        parts.append(f'<path class="grid" d="M{LEFT} {sy(tick)}H{right}"/>')
        parts.append(f'<text class="ty" x="{LEFT - 6}" y="{sy(tick) + 4}">{number(tick, 2)}</text>')
    parts.append(f'<text class="title" x="{(LEFT + right) / 2}" y="{HEIGHT - 6}">{across}</text>')
    turned = f'transform="translate(12 {(TOP + bottom) / 2}) rotate(-90)"'
    return "".join(parts) + f'<text class="title" {turned}>{up}</text>'


def _svg(name: str, drawn: list[str]) -> Markup:
    opening = f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">'
    return Markup(opening + "".join(drawn) + "</svg>")
