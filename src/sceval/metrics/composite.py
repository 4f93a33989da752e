"""Composite scores of the scEval study, and which labels count as isolated."""

from __future__ import annotations

import numpy as np

BIO_PARTS = ("nmi", "ari", "asw_label")
BATCH_PARTS = ("asw_batch", "pcr", "gc_scib")


def composite_scores(values: dict[str, float]) -> dict[str, float]:
    """S_bio, S_batch and S_final = 0.6 S_bio + 0.4 S_batch of the scEval study.

    Parameters
    ----------
    values
        At least the parts: NMI, ARI, cell-type ASW; batch ASW, PCR, graph connectivity (scib). An undefined part is
        left out of its mean; S_final is undefined where one of the two means has no part left.
    """
    bio = mean_defined([values[name] for name in BIO_PARTS])
    batch = mean_defined([values[name] for name in BATCH_PARTS])
    return {"s_bio": bio, "s_batch": batch, "s_final": 0.6 * bio + 0.4 * batch}


def isolated_labels(labels: np.ndarray, batches: np.ndarray, threshold: int | None = None) -> list[int]:
    """Codes of the labels that are in few batches.

    Parameters
    ----------
    labels, batches
        Codes, one per cell.
    threshold
        Largest number of batches of an isolated label; the smallest number over labels if absent. None is isolated
        where that equals the number of batches. Source: Luecken et al. 2022 (scib 1.1.7).
    """
    spread = {int(label): len(np.unique(batches[labels == label])) for label in np.unique(labels)}
    limit = min(spread.values()) if threshold is None else threshold
    if limit == len(np.unique(batches)):
        return []
    return [label for label, count in spread.items() if count <= limit]


def mean_defined(values) -> float:
    """Mean of the values that are defined; NaN where none is."""
    values = np.asarray(values, dtype=float)
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else float("nan")
