"""The result in sentences: which variant to use on which dataset, by how much, at what cost."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from sceval.report.boards import Board
from sceval.report.entries import Entry
from sceval.report.methods import label
from sceval.report.pairs import Gain
from sceval.report.text import cost, difference, interval, listing, number, words

WORTH_SAVING = 2.0
"""Among tied variants the cheapest is recommended only if the best costs at least this many times as much."""

UNINTEGRATED = "pca"
"""What the id of a baseline contains that corrects nothing."""


@dataclass(frozen=True)
class Verdict:
    """What a board says.

    Attributes
    ----------
    outcome
        `win`, `tie`, `only` (one scored), `nothing_to_remove`, `none_better` (than a blind control) or `no_score`.
    label
        Two or three words for it.
    use
        Variant to use, None where there is none.
    sentences
        The verdict as HTML, escaped.
    """

    outcome: str
    label: str
    use: str | None
    sentences: list[Markup]


def verdict(board: Board) -> Verdict:
    """Judge a board.

    The best variant is that of rank 1. Variants whose paired difference from it may be zero are tied with it; among
    these the cheapest is recommended where that saves at least half of the CPU time.
    """
    ranked = sorted(board.ranked, key=lambda e: (e.rank is None, e.rank or 0))
    where = Markup("<em>{}</em>").format(board.dataset)
    if not ranked:
        return Verdict("no_score", "no verdict", None, [_why_none(board, where)])
    best = ranked[0]
    tied = [entry for entry in ranked[1:] if entry.tied]
    pick = _cheapest(best, tied, board)
    told = [_use(board, pick, where), *_compare(board, best, pick, ranked)]
    others = [entry.variant for entry in ranked if entry.tied and entry not in (best, pick)]
    if others:
        told.append(_tie(board, best, others))
    if board.nothing_to_remove:
        return _nothing_to_remove(board, where, [_tie(board, best, [e.variant for e in tied])] if tied else [])
    if board.caution:
        told.append(Markup("{} says little here ({}).").format(label(board.metric), board.caution))
    if _no_better_than_blind(pick):
        text = Markup(
            "No method is shown to beat a blind control on {}: the interval of the best choice, {}, reaches the score "
            "of a run that uses no gene."
        ).format(where, _name(pick))
        return Verdict("none_better", "none better than blind", None, [text, *told[1:]])
    if len(ranked) == 1:
        alone = Markup("No other model or baseline has a score here.")
        return Verdict("only", "the only one", pick.variant, [*told, alone])
    if tied:
        return Verdict("tie", f"{len(tied) + 1} tied", pick.variant, told)
    return Verdict("win", "clear", pick.variant, told)


def tally(verdicts: list[tuple[Board, Verdict]]) -> Markup:
    """Return the verdicts of one task in one sentence: how often each variant is the choice, or that none is."""
    chosen: dict[str, int] = {}
    for _, told in verdicts:
        if told.use:
            chosen[told.use] = chosen.get(told.use, 0) + 1
    picks = [Markup("{} in {}").format(Markup("<strong>{}</strong>").format(v), n) for v, n in _most(chosen)]
    said = [Markup("the choice is ") + Markup(", ").join(picks)] if picks else []
    for outcome, phrase in (
        ("nothing_to_remove", "there is nothing to remove in {}"),
        ("none_better", "nothing beats a blind control in {}"),
        ("no_score", "there is no score in {}"),
    ):
        n = sum(told.outcome == outcome for _, told in verdicts)
        said += [Markup(phrase).format(n)] if n else []
    cases = f"{len(verdicts)} case{'s' if len(verdicts) != 1 else ''}"
    return Markup("Of {}: {}.").format(cases, Markup("; ").join(said))


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _name(entry: Entry) -> Markup:
    return Markup("<strong>{}</strong>").format(entry.variant)


def _use(board: Board, pick: Entry, where: Markup) -> Markup:
    ends = interval(pick.value_low, pick.value_high, 2) or "(no interval: too few units)"
    return Markup("Use {} on {}: {} {} {}.").format(
        _name(pick), where, label(board.metric), number(pick.value, 2), ends
    )


def _cheapest(best: Entry, tied: list[Entry], board: Board) -> Entry:
    known = [entry for entry in tied if entry.cpu_s and entry.value_low is not None]
    if not best.cpu_s or not known:
        return best
    cheapest = min(known, key=lambda e: e.cpu_s)
    ratio = board.pairs.gain(best, cheapest).cost_ratio
    return cheapest if ratio and ratio >= WORTH_SAVING else best


def _compare(board: Board, best: Entry, pick: Entry, ranked: list[Entry]) -> list[Markup]:
    if pick is not best:
        gain = board.pairs.gain(best, pick)
        text = Markup("The top of the table, {}, adds {} {} {}: it cannot be told apart.")
        return [_tidy(text.format(_name(best), difference(gain.value), _ends(gain), cost(gain.cost_ratio)))]
    rest = [entry for entry in ranked if not entry.tied and entry is not best]
    if not rest:
        return []
    follower = rest[0]
    gain = board.pairs.gain(best, follower)
    text = Markup("It is {} {} better than the next that can be told apart, {}, {}.")
    return [_tidy(text.format(difference(gain.value), _ends(gain), _name(follower), cost(gain.cost_ratio)))]


def _tie(board: Board, best: Entry, others: list[str]) -> Markup:
    if best.value_low is None:
        return Markup("Without intervals no difference from {} is claimed.").format(listing(others))
    limit = f" (differences under {number(board.mdd, 2)} cannot be told with these cells)" if board.mdd else ""
    return Markup("Cannot be told apart from {}{}.").format(listing(others), limit)


def _ends(gain: Gain) -> str:
    return interval(gain.low, gain.high, 2) or "(not paired)"


def _tidy(text: Markup) -> Markup:
    return Markup(str(text).replace(" :", ":").replace(", .", ".").replace("  ", " ").replace(" )", ")"))


def _no_better_than_blind(pick: Entry) -> bool:
    return pick.low is not None and pick.low <= 0


def _nothing_to_remove(board: Board, where: Markup, ties: list[Markup]) -> Verdict:
    plain = [entry for entry in board.ranked if entry.kind == "baseline" and UNINTEGRATED in entry.model]
    text = Markup(
        "Nothing to remove on {}: the batches differ no more than chance would have it, so there is no batch effect "
        "that a method could correct and S_final is partial."
    ).format(where)
    advice = Markup("Leave the cells as they are.")
    if plain:
        cheapest = min(plain, key=lambda e: (e.cpu_s is None, e.cpu_s or 0))
        ends = interval(cheapest.value_low, cheapest.value_high, 2)
        advice = Markup("Leave the cells as they are ({}: {} {} {}).").format(
            _name(cheapest), label(board.metric), number(cheapest.value, 2), ends
        )
    top = min(board.ranked, key=lambda e: (e.rank is None, e.rank or 0))
    order = Markup("What can still be measured puts {} first ({} {} {}).").format(
        _name(top), label(board.metric), number(top.value, 2), interval(top.value_low, top.value_high, 2)
    )
    if plain and top is cheapest:
        order = Markup("They are also first on what can still be measured.")
    return Verdict("nothing_to_remove", "nothing to remove", None, [text, _tidy(advice), _tidy(order), *ties])


def _why_none(board: Board, where: Markup) -> Markup:
    counts: dict[str, int] = {}
    for entry in board.absent:
        for hole in entry.holes:
            counts[hole["status"]] = counts.get(hole["status"], 0) + hole["n"]
    detail = listing([f"{n} {words(status).lower()}" for status, n in sorted(counts.items())]) if counts else ""
    text = Markup("No verdict on {}: no model or baseline has a score here{}.")
    return text.format(where, f" ({detail})" if detail else "")
