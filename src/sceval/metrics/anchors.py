"""The two-anchor scale: 0 is the measured blind control, 1 the measured ceiling. Never clipped, never over the pool."""

from __future__ import annotations

import numpy as np


def scaled(value: float, anchor0: float, anchor1: float) -> float:
    """``(value - anchor0) / (anchor1 - anchor0)``; NaN where the anchors are equal or undefined."""
    width = anchor1 - anchor0
    return float((value - anchor0) / width) if np.isfinite(width) and width != 0 else float("nan")


def informative(seeds0, seeds1, direction: int = 1) -> bool:
    """Whether a metric can tell anything on a dataset.

    Parameters
    ----------
    seeds0, seeds1
        Values of the two anchors over their seeds.
    direction
        +1 where high is good, -1 where low is.

    Returns
    -------
    informative
        True where anchor 1 is better than anchor 0 by at least two of their standard deviations (the larger one).
    """
    a, b = np.asarray(seeds0, dtype=float), np.asarray(seeds1, dtype=float)
    if not (len(a) and len(b) and np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    spread = max(a.std(ddof=1) if len(a) > 1 else 0.0, b.std(ddof=1) if len(b) > 1 else 0.0)
    gap = direction * (b.mean() - a.mean())
    return bool(gap > 0 and gap >= 2 * spread)
