"""One variant of a board: what it scored, its rank, its cost, and what became of runs without a score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RANKED = ("model", "baseline")


@dataclass
class Entry:
    """One variant of a board; the numbers are those of the leading metric, pooled over runs."""

    variant: str
    model: str
    regime: str
    kind: str
    n_runs: int = 0
    value: float | None = None
    value_low: float | None = None
    value_high: float | None = None
    scaled: float | None = None
    low: float | None = None
    high: float | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    coverage: float | None = None
    cpu_s: float | None = None
    wall_s: float | None = None
    tied: bool = False
    uses_labels: bool = False
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    holes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ranked(self) -> bool:
        """Whether the variant competes: controls, and runs that saw labels, stand apart."""
        return self.kind in RANKED and not self.uses_labels and self.value is not None
