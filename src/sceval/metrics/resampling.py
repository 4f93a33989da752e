"""Intervals by the jackknife: which cells each replicate keeps, and what the spread of the replicates says.

Cells are never drawn twice: copies at distance zero break LISI, kBET and Leiden. Sources: Efron and Stein 1981
(delete-1 jackknife), Shao and Wu 1989 (delete-d with random subsets; valid for medians too as d grows with n).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

_MIN_GROUPS = 5
_KEPT = 0.8


@dataclass(frozen=True)
class Plan:
    """Which cells each replicate keeps.

    ``masks``: replicates x cells, True = kept. ``scale``: standard error = scale x standard deviation of the
    replicates (n - 1 in its denominator). ``unit``: what was left out, ``n_units`` how many there are, ``df`` the
    degrees of freedom of the interval, ``note`` the sentence for the table.
    """

    masks: np.ndarray
    scale: float
    unit: str
    n_units: int
    df: int
    note: str


def replicates(
    n: int, groups: Sequence | np.ndarray | None = None, R: int = 30, seed: int = 0, unit: str = "batch"
) -> Plan:
    """Plan the replicates of one dataset, task and split; use the same plan for all runs, so that they are paired.

    Parameters
    ----------
    n
        Number of cells.
    groups
        Donor or batch of each cell. With 5 to ``R`` of them each is left out once (delete-1 jackknife); with more,
        random fifths of them; with fewer than 5, or without, random fifths of the cells.
    R
        Number of random replicates.
    seed
        Seed of the random replicates.
    unit
        What a group is called in the tables.

    Returns
    -------
    plan
        With ``masks`` of shape (0, n) for fewer than 5 cells: too few for an interval.
    """
    rng = np.random.default_rng(seed)
    if groups is not None:
        names, codes = np.unique(np.asarray(groups), return_inverse=True)
        if len(codes) != n:
            raise ValueError(f"{len(codes)} groups were given for {n} cells")
        g = len(names)
        if _MIN_GROUPS <= g <= R:
            masks = codes[None, :] != np.arange(g)[:, None]
            note = f"jackknife over {g} {unit} units, one left out at a time"
            return Plan(masks, (g - 1) / np.sqrt(g), unit, g, g - 1, note)
        if g > R:
            kept, scale = _subsets(g, R, rng)
            return Plan(kept[:, codes], scale, unit, g, R - 1, f"{R} random fifths of {g} {unit} units left out")
    if n < _MIN_GROUPS:
        return Plan(np.zeros((0, n), dtype=bool), float("nan"), "cell", n, 0, f"{n} cells: too few for an interval")
    masks, scale = _subsets(n, R, rng)
    note = f"sampling of these {n} cells only: {R} random fifths left out"
    return Plan(masks, scale, "cell", n, R - 1, note)


def _subsets(n: int, R: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    kept = min(max(round(_KEPT * n), 1), n - 1)
    masks = np.zeros((R, n), dtype=bool)
    for row in masks:
        row[rng.choice(n, kept, replace=False)] = True
    # Delete-d variance: (n - d) / d times the variance of the replicates; 4 for a fifth.
    return masks, float(np.sqrt(kept / (n - kept)))


def standard_error(values: Iterable[float], scale: float) -> float:
    """``scale`` times the standard deviation of the replicates; NaN where under half of them are defined."""
    values = np.asarray(list(values), dtype=float)
    good = values[np.isfinite(values)]
    if len(good) < 2 or len(good) < len(values) / 2:
        return float("nan")
    return float(scale * good.std(ddof=1))


def minimum_detectable_difference(se_difference: float, df: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference that a two-sided t test finds with the given power: (t_(1-alpha/2) + t_power) x SE.

    Parameters
    ----------
    se_difference
        Standard error of the difference, paired where possible.
    df
        Degrees of freedom of the plan.
    power, alpha
        Wanted power and two-sided level. Source: Bloom 1995, Evaluation Review 19:547.
    """
    return float((_t(1 - alpha / 2, df) + _t(power, df)) * se_difference)


def replicate_table(scorer, plan: Plan) -> dict[str, np.ndarray]:
    """Values of every metric in every replicate of ``plan``, for an object with ``replicate(keep)``."""
    rows: list[Mapping[str, float]] = [scorer.replicate(mask) for mask in plan.masks]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _t(probability: float, df: int) -> float:
    return float(stdtrit(df, probability)) if df > 0 else float("nan")
