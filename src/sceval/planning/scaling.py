"""The two-anchor scale: anchors are runs (controls, oracles), measured values of the task, or constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sceval.metrics.registry import METRICS

_COMPOSITES = ("s_bio", "s_batch", "s_final")
_CONSTANTS = {"0": 0.0, "1": 1.0, "chance": 0.5}
_MEASURED = {"unintegrated PCA": "unintegrated", "permuted batches": "permuted", "floor": "floor", "ceiling": "ceiling"}


@dataclass(frozen=True)
class Anchor:
    """Values of an anchor over its seeds or repetitions; one value for a constant."""

    values: np.ndarray
    source: str

    @property
    def mean(self) -> float:
        """Mean over seeds; NaN where there is none."""
        good = self.values[np.isfinite(self.values)]
        return float(good.mean()) if len(good) else float("nan")

    @property
    def sd(self) -> float:
        """Standard deviation over seeds; 0 for a constant."""
        good = self.values[np.isfinite(self.values)]
        return float(good.std(ddof=1)) if len(good) > 1 else 0.0

    @property
    def se(self) -> float:
        """Standard error of the mean over seeds; 0 for a constant."""
        return self.sd / np.sqrt(max(int(np.isfinite(self.values).sum()), 1))


NOTHING = Anchor(np.empty(0), "")


def _by_model(table: pd.DataFrame, kind: str, metric: str) -> dict[str, np.ndarray]:
    rows = table[(table["kind"] == kind) & (table["metric"] == metric)]
    return {name: part["value"].to_numpy(float) for name, part in rows.groupby("variant")}


def _best(values: dict[str, np.ndarray], direction: int) -> Anchor:
    means = {name: np.nanmean(v) * direction for name, v in values.items() if np.isfinite(v).any()}
    if not means:
        return NOTHING
    name = max(means, key=means.__getitem__)
    return Anchor(values[name], name)


def _measured(anchors: pd.DataFrame, metric: str, name: str) -> Anchor:
    if anchors.empty:
        return NOTHING
    rows = anchors[(anchors["metric"] == metric) & (anchors["anchor"] == name)]
    return Anchor(rows["value"].to_numpy(float), name) if len(rows) else NOTHING


def anchors_of(metric: str, table: pd.DataFrame, measured: pd.DataFrame) -> tuple[Anchor, Anchor]:
    """Return anchor 0 and anchor 1 of a metric on one dataset, task and split.

    Parameters
    ----------
    metric
        Its id; the rule stands in the registry.
    table
        Values of all runs of the group: `variant`, `kind`, `metric`, `value`.
    measured
        Values that the task measured itself: `metric`, `anchor`, `value`.
    """
    declared = METRICS[metric]
    if declared.anchors == "unscaled":
        return NOTHING, NOTHING
    zero, one = (_side(name, metric, declared.direction, table, measured) for name in declared.anchors.split(" / ", 1))
    return zero, one


def _side(name: str, metric: str, direction: int, table: pd.DataFrame, measured: pd.DataFrame) -> Anchor:
    """Return one side of an anchor rule."""
    negative = _by_model(table, "negative_control", metric)
    if name in _CONSTANTS:
        return Anchor(np.full(1, _CONSTANTS[name]), name)
    if name in _MEASURED:
        return _measured(measured, metric, _MEASURED[name])
    if name in ("label oracle", "oracle without batch"):
        return _best(_by_model(table, "positive_control", metric), direction)
    if name == "prior":
        return _best({key: values for key, values in negative.items() if key.startswith("majority-")}, direction)
    if name in ("blind control", "blind controls"):
        if metric in _COMPOSITES:
            whole = _best(_by_model(table, "negative_control", "s_final"), 1)
            return Anchor(negative.get(whole.source, np.empty(0)), whole.source)
        return _best(negative, direction)
    msg = f"metric {metric}: unknown side {name!r} of its anchor rule"
    raise ValueError(msg)


def demotion(metric: str, table: pd.DataFrame) -> str:
    """Return why a metric is demoted (a blind control beats the best honest baseline), or an empty text."""
    if metric == "s_final":
        return ""  # stays, as the study's number
    direction = METRICS[metric].direction
    blind = _best(_by_model(table, "negative_control", metric), direction)
    honest = _best(_by_model(table, "baseline", metric), direction)
    if not blind.source or not honest.source or direction * (blind.mean - honest.mean) <= 0:
        return ""
    return f"demoted: the blind control {blind.source} scores {blind.mean:.3f}, the best baseline {honest.mean:.3f}"


def scaled_interval(value: float, se: float, zero: Anchor, one: Anchor, t: float) -> tuple[float, float, float]:
    """Return `scaled` and its interval.

    With s = (v - a0) / (a1 - a0), by the delta method its variance is
    (se_v^2 + (1 - s)^2 se_0^2 + s^2 se_1^2) / (a1 - a0)^2, where the standard error of an anchor is that of its mean
    over seeds. Never clipped.
    """
    width = one.mean - zero.mean
    if not np.isfinite(width) or width == 0 or not np.isfinite(value):
        return float("nan"), float("nan"), float("nan")
    s = (value - zero.mean) / width
    spread = np.sqrt(se**2 + ((1 - s) * zero.se) ** 2 + (s * one.se) ** 2) / abs(width)
    return float(s), float(s - t * spread), float(s + t * spread)
