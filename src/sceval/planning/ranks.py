"""Pooling over seeds, paired differences, and ranks with intervals: ties are shown as ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from sceval.metrics.registry import METRICS
from sceval.metrics.resampling import minimum_detectable_difference

RANKED = ("model", "baseline")


def t_quantile(df: float) -> float:
    """Return the 97.5 % quantile of Student's t; NaN without degrees of freedom."""
    return float(stdtrit(df, 0.975)) if df and df > 0 else float("nan")


class Pool:
    """One variant on one metric of a dataset, task and split, over its seeds and split seeds.

    The replicates of the runs are on the same cells (of the same split), so their mean is the replicate of the mean;
    what seeds add is the variance of the runs divided by their number.
    """

    def __init__(self, rows: pd.DataFrame, replicates: pd.DataFrame | None) -> None:
        values = rows["value"].to_numpy(float)
        self.values = values[np.isfinite(values)]
        self.value = float(self.values.mean()) if len(self.values) else float("nan")
        self.df = float(rows["df"].iloc[0]) if len(rows) else 0.0
        self.seed_variance = float(self.values.var(ddof=1) / len(self.values)) if len(self.values) > 1 else 0.0
        self.replicates = None if replicates is None else replicates.groupby("replicate")["value"].mean()

    @property
    def se(self) -> float:
        """Standard error over units and seeds."""
        unit = np.nan if self.replicates is None else self.replicates.std(ddof=1)
        return float(np.sqrt(unit**2 + self.seed_variance))

    def interval(self, bounds: tuple[float, float]) -> tuple[float, float]:
        """95 % interval, cut to the declared range of the metric."""
        half = t_quantile(self.df) * self.se
        if not np.isfinite(half):
            return float("nan"), float("nan")
        return max(self.value - half, bounds[0]), min(self.value + half, bounds[1])

    def minus(self, other: Pool) -> tuple[float, float, float, float]:
        """Paired difference: value, low, high, standard error."""
        value = self.value - other.value
        if self.replicates is None or other.replicates is None:
            return value, float("nan"), float("nan"), float("nan")
        unit = (self.replicates - other.replicates).std(ddof=1)
        se = float(np.sqrt(unit**2 + self.seed_variance + other.seed_variance))
        half = t_quantile(min(self.df, other.df)) * se
        return value, value - half, value + half, se


def ranks(pools: dict[str, Pool], direction: int) -> dict[str, tuple[int, int, int]]:
    """Return rank, best and worst rank of each variant.

    Equal values share a rank. The best rank counts the variants that are better beyond doubt (the interval of the
    paired difference lies above 0), the worst leaves out only those that are worse beyond doubt. Where a difference
    has no interval (too few cells, or the scib backend), nothing is beyond doubt.
    """
    names = [name for name, pool in pools.items() if np.isfinite(pool.value)]
    ordered = sorted(names, key=lambda name: -direction * pools[name].value)
    out = {}
    for name in ordered:
        position = 1 + sum(direction * (pools[other].value - pools[name].value) > 0 for other in names)
        better = worse = 0
        for other in names:
            if other == name:
                continue
            value, low, high, _se = pools[other].minus(pools[name])
            better += direction * value > 0 and min(direction * low, direction * high) > 0
            worse += direction * value < 0 and max(direction * low, direction * high) < 0
        out[name] = (position, 1 + better, len(names) - worse)
    return out


def differences(pools: dict[str, Pool], costs: dict[str, float]) -> tuple[list[dict[str, Any]], float]:
    """Return the paired differences of all ordered pairs, and the minimum detectable difference (median over pairs)."""
    rows, detectable = [], []
    for a in pools:
        for b in pools:
            if a == b:
                continue
            value, low, high, se = pools[a].minus(pools[b])
            ratio = costs.get(a, np.nan) / costs[b] if costs.get(b) else float("nan")
            rows.append({"a": a, "b": b, "difference": value, "low": low, "high": high, "cost_ratio": ratio})
            if np.isfinite(se):
                detectable.append(minimum_detectable_difference(se, int(min(pools[a].df, pools[b].df))))
    return rows, float(np.median(detectable)) if detectable else float("nan")


def bounds(metric: str) -> tuple[float, float]:
    """Declared range of a metric."""
    return METRICS[metric].range
