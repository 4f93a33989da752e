"""Paired differences between variants, and what counts as a tie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sceval.report.text import missing

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.entries import Entry


@dataclass(frozen=True)
class Gain:
    """How much the first of two variants is better, in units of the metric; negative where it is worse.

    Attributes
    ----------
    value, low, high
        Gain and its 95 % interval; the ends are None where it was not measured.
    cost_ratio
        CPU seconds of the first over those of the second, None where unknown.
    paired
        Whether it comes from the paired comparison or merely from the two values.
    """

    value: float
    low: float | None
    high: float | None
    cost_ratio: float | None
    paired: bool


@dataclass(frozen=True)
class Pairs:
    """Look-up of the paired differences of one board; `direction` makes more always better."""

    rows: dict[tuple[str, str], tuple[float, float | None, float | None, float | None]]
    direction: int

    @classmethod
    def of(cls, differences: pd.DataFrame, metric: str | None, direction: int) -> Pairs:
        """Index the differences of a metric by the pair of variants."""
        mine = differences[(differences.metric == metric) & differences.difference.notna()]
        columns = ["a", "b", "difference", "low", "high", "cost_ratio"]
        rows = {
            (a, b): tuple(None if missing(x) else float(x) for x in rest)
            for a, b, *rest in mine[columns].itertuples(index=False)
        }
        return cls(rows, direction)

    def gain(self, first: Entry, second: Entry) -> Gain:
        """Return how much better `first` is than `second`."""
        ratio = first.cpu_s / second.cpu_s if first.cpu_s and second.cpu_s else None
        for pair, sign in (((first.variant, second.variant), 1), ((second.variant, first.variant), -1)):
            if pair in self.rows:
                value, low, high, known = self.rows[pair]
                known = known if sign == 1 or not known else 1 / known
                ends = [sign * self.direction * end for end in (low, high) if end is not None]
                low, high = (min(ends), max(ends)) if len(ends) == 2 else (None, None)
                return Gain(sign * self.direction * value, low, high, known or ratio, True)
        return Gain(self.direction * (first.value - second.value), None, None, ratio, False)

    def tied(self, first: Entry, second: Entry) -> bool:
        """Return whether two variants cannot be told apart.

        The interval of the paired difference decides; where there is none the two intervals must not overlap, and
        where those are missing too no difference is claimed.
        """
        gain = self.gain(first, second)
        if gain.low is not None and gain.high is not None:
            return gain.low <= 0 <= gain.high
        ends = (first.value_low, first.value_high, second.value_low, second.value_high)
        if any(end is None for end in ends):
            return True
        return ends[0] <= ends[3] and ends[2] <= ends[1]
