"""What is scored beside the metrics of integration: pairs found again, labels carried over, the planted factor."""

from __future__ import annotations

import numpy as np

from sceval.contract import CellFile
from sceval.metrics.coding import encode
from sceval.metrics.foscttm import fair_shares
from sceval.metrics.label_transfer import knn_predict, mean_by_class

MATCH = 10
"""A pair is found where the partner is among so many nearest cells of the other modality."""


def two_sides(solution: CellFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that hold RNA alone and those that hold the other modality alone; empty in the paired splits."""
    modality = solution.obs["modality"].astype(str)
    return np.flatnonzero(modality == "rna"), np.flatnonzero(~np.isin(modality, ("rna", "paired")))


def pair_rows(solution: CellFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the cells that are there twice: of RNA, and of the other modality, in the same order."""
    rna, other = two_sides(solution)
    pair = solution.obs.get("pair", np.full(solution.n_obs, None, object))
    place = {pair[row]: row for row in other if pair[row] is not None}
    both = np.array([(row, place[pair[row]]) for row in rna if pair[row] in place], int).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _right(X: np.ndarray, codes: np.ndarray, reference: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return for each row whether the vote of the reference rows gives its class; NaN where it is not asked."""
    out = np.full(len(X), np.nan)
    reference, asked = reference[codes[reference] >= 0], asked[codes[asked] >= 0]
    if len(reference) and len(asked):
        out[asked] = knn_predict(X[reference], codes[reference], X[asked]) == codes[asked]
    return out


def _among(X: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return for each row whether its nearest other rows vote for its class; NaN where it has none."""
    out = np.full(len(X), np.nan)
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > 1:
        out[rows] = knn_predict(X[rows], codes[rows]) == codes[rows]
    return out


class Extras:
    """Per-row values of the metrics that integration as such does not have, and what they add up to.

    Attributes
    ----------
    units
        Metric -> one value for each row; NaN where a row takes no part.
    findings
        Sentences.
    """

    def __init__(self, X: np.ndarray, solution: CellFile) -> None:
        self.codes = encode(solution.obs["cell_type"])[0]
        self.units: dict[str, np.ndarray] = {}
        self.findings: list[str] = []
        rna, other = two_sides(solution)
        if len(rna) and len(other):
            self._apart(X, solution, rna, other)
        else:
            self.units["knn_label"] = _among(X, self.codes)
            if "factor" in solution.obs:
                self.units["knn_factor"] = _among(X, encode(solution.obs["factor"])[0])

    def _apart(self, X: np.ndarray, solution: CellFile, rna: np.ndarray, other: np.ndarray) -> None:
        first, second = pair_rows(solution)
        if len(first) > MATCH:
            both = np.concatenate([first, second])
            there, back = fair_shares(X[first], X[second], MATCH), fair_shares(X[second], X[first], MATCH)
            for name, values in zip(("foscttm", "match10"), zip(there, back, strict=True), strict=True):
                self.units[name] = np.full(len(X), np.nan)
                self.units[name][both] = np.concatenate(values)
        elif "pair" in solution.obs:
            self.findings.append("FOSCTTM and match at 10 undefined: no cell is known to be in both modalities")
        self.units["transfer_to_other"] = _right(X, self.codes, rna, other)
        self.units["transfer_to_rna"] = _right(X, self.codes, other, rna)

    def values(self, keep: np.ndarray | None = None) -> dict[str, float]:
        """Return every metric over the rows that are kept (all where None); NaN where no row takes part."""
        keep = np.ones(len(self.codes), bool) if keep is None else keep
        out = {}
        for name, units in self.units.items():
            kept = units[keep]
            kept = kept[np.isfinite(kept)]
            out[name] = float(kept.mean()) if len(kept) else float("nan")
        if "transfer_to_rna" in self.units:
            ways = [np.where(keep, self.units[name], np.nan) for name in ("transfer_to_other", "transfer_to_rna")]
            out["transfer_balanced"] = float(np.mean([mean_by_class(way, self.codes) for way in ways]))
        return out
