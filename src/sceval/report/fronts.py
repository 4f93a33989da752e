"""Quality and cost over all tasks: which models nobody beats in both, board by board and on the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sceval.report.entries import Entry
from sceval.report.scatter import draw, pareto

if TYPE_CHECKING:
    from markupsafe import Markup

    from sceval.report.boards import Board
    from sceval.report.overview import Overview


@dataclass(frozen=True)
class Share:
    """How often some variant of a model lies on the front of a board.

    Attributes
    ----------
    model, kind
        Whose row it is.
    n_front, n_boards
        Boards on whose front it lies, and boards on which it has a value and a cost.
    tasks
        Tasks of the boards on whose front it lies.
    """

    model: str
    kind: str
    n_front: int
    n_boards: int
    tasks: list[str]


@dataclass(frozen=True)
class Fronts:
    """The table over boards; the figure over tasks; how many tasks its models have, and the models left out of it."""

    shares: list[Share]
    plot: Markup | None
    n_tasks: int
    left_out: list[str]


def fronts(boards: list[Board], overview: Overview) -> Fronts:
    """Return the fronts over all boards and tasks.

    The figure draws the mean scaled value over tasks against the geometric mean of the CPU seconds of a run. Means over
    different tasks are not comparable, so that it holds only the models that are scored on the most tasks.
    """
    on: dict[str, list[str]] = {}
    known: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for board in boards:
        entries = [e for e in board.ranked if e.cpu_s]
        kinds |= {e.model: e.kind for e in entries}
        for model in {e.model for e in entries}:
            known.setdefault(model, []).append(board.task)
        for model in {e.model for e in pareto(entries, board.direction)}:
            on.setdefault(model, []).append(board.task)
    shares = [
        Share(model, kinds[model], len(on.get(model, [])), len(tasks), list(dict.fromkeys(on.get(model, []))))
        for model, tasks in known.items()
    ]
    shares.sort(key=lambda s: (-s.n_front, -s.n_front / s.n_boards, s.model))
    ready = [row for row in overview.rows if row.mean is not None and row.cpu_s]
    most = max((len(row.scored) for row in ready), default=0)
    inside = [row for row in ready if len(row.scored) == most]
    points = [Entry(r.model, r.model, "", r.kind, value=r.mean, scaled=r.mean, cpu_s=r.cpu_s) for r in inside]
    plot = draw(points, 1, "Mean scaled value", "Mean scaled value over tasks against CPU seconds of a run")
    return Fronts(shares, plot, most, [row.model for row in ready if row not in inside])
