"""What an embedding keeps of the cells' own structure, beside the scIB scores: with labels and without.

Islands of labels score high on every scIB metric and destroy the geometry (Wang, Leskovec and Regev 2025). All of
these compare with what each batch looks like by itself, so that removing a batch effect costs nothing, and all are
corrected for chance: 0 is what no structure gives.
"""

from __future__ import annotations

import numpy as np

from sceval.metrics import agreement
from sceval.metrics.clustering import Sweep
from sceval.metrics.integration import IntegrationScorer
from sceval.metrics.neighbors import knn
from sceval.metrics.scgraph import Consensus
from sceval.metrics.silhouette import mean_by_label

IDS = (
    "nmi_fixed", "ari_fixed", "intra_type", "scgraph", "scgraph_corrected", "rnx", "participation",
    "intrinsic_dimension",
)  # fmt: skip

N_RAW = 50
"""Raw neighbours that are kept of a cell."""

NOT_ASKED, MEMBER = -1, -2
"""Rows of raw neighbours of cells that take no part, and of cells that were searched among only."""

LEAST_BATCH, LEAST_GROUP = 30, 20
"""Cells of a batch, and of a type in a batch, that neighbourhoods need: in fewer any two lists overlap by chance."""

_K, _MOST_TWONN, _NULLS = 15, 2000, 3
_NAN = float("nan")


def r_nx(X: np.ndarray, raw: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """Rank-based agreement of each cell's neighbourhood in the embedding with its raw one, inside its batch.

    Parameters
    ----------
    X
        Embedding, cells x dimensions.
    raw
        Rows of the raw neighbours of each cell, nearest first, cells x K; `NOT_ASKED`, `MEMBER` see above.
    batches
        Batch codes.

    Returns
    -------
    agreement
        Per asked cell, NaN for the others. R_NX(k) = (Q(k) - k / (N - 1)) / (1 - k / (N - 1)), where Q(k) is the
        share of common cells among the k nearest; its mean over k with weights 1 / k, which gives all scales of the
        neighbourhood the same say. 1: the same neighbours; 0: chance. Source: Lee et al. 2015 (Neurocomputing 169:246).
    """
    out = np.full(len(X), np.nan)
    asked_all = raw[:, 0] >= 0
    for batch in np.unique(batches[asked_all]):
        members = np.flatnonzero((batches == batch) & (raw[:, 0] != NOT_ASKED))
        asked = np.flatnonzero(asked_all[members])
        before = raw[members[asked]]
        k = int((before >= 0).sum(axis=1).min())
        if not k or len(members) < LEAST_BATCH:
            continue
        after = members[knn(X[members], k + 1, asked)[0][:, 1:]]
        same = before[:, :k, None] == after[:, None, :]
        cell, i, j = np.nonzero(same)
        found = np.zeros((len(asked), k))
        np.add.at(found, (cell, np.maximum(i, j)), 1.0)
        size = np.arange(1, k + 1)
        chance = size / (len(members) - 1)
        curve = (np.cumsum(found, axis=1) / size - chance) / (1 - chance)
        out[members[asked]] = curve @ (1 / size) / np.sum(1 / size)
    return out


def intra_type(X: np.ndarray, own: np.ndarray, batches: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Neighbours that each cell keeps among the cells of its own type and batch, corrected for chance.

    Parameters
    ----------
    X
        Embedding, cells x dimensions.
    own
        Principal components of each batch by itself, cells x components.
    batches, labels
        Codes; a label below 0 is none.

    Returns
    -------
    kept
        Share of the k nearest cells that is the same in both, as R_NX(k), per cell; k = 15, a third of the group
        where that is less. NaN for cells of groups under 20 cells. Noise inside types gives 0, whatever the types'
        distances are. Source: after Yi et al. 2025 (scIB-E), who compare whole batches.
    """
    out = np.full(len(X), np.nan)
    groups = np.where(labels < 0, -1, batches * (labels.max(initial=0) + 1) + labels)
    for group in np.unique(groups[groups >= 0]):
        rows = np.flatnonzero(groups == group)
        if len(rows) < LEAST_GROUP:
            continue
        k = min(_K, len(rows) // 3)
        lists = [knn(space[rows], k + 1)[0][:, 1:] for space in (X, own)]
        shared = (lists[0][:, :, None] == lists[1][:, None, :]).sum(axis=(1, 2)) / k
        chance = k / (len(rows) - 1)
        out[rows] = (shared - chance) / (1 - chance)
    return out


def participation(X: np.ndarray) -> float:
    """Share of the dimensions that an embedding uses: 0 for one direction alone, about 1 for noise in all of them.

    (PR - 1) / (PR0 - 1) with PR = (sum of the variances)² / sum of their squares along the principal axes, and PR0
    its expectation for as many cells of isotropic noise. NaN with one dimension, or a constant embedding.
    """
    n, d = X.shape
    Y = X - X.mean(axis=0)
    scale = np.abs(Y).max(initial=0.0)
    if d < 2 or n < 3 or scale == 0:
        return _NAN
    Y = Y / scale
    C = Y.T @ Y if d <= n else Y @ Y.T
    ratio = np.trace(C) ** 2 / np.sum(C * C)
    free = n - 1
    null = (d**2 + 2 * d / free) / (d + d * (d + 1) / free)
    return float((ratio - 1) / (null - 1))


def two_nn(X: np.ndarray) -> np.ndarray:
    """Logarithm of the second over the first neighbour distance of each cell; NaN where a copy lies at distance 0.

    n / (their sum) is the intrinsic dimension. Source: Facco et al. 2017 (Scientific Reports 7:12140), TwoNN, by
    maximum likelihood.
    """
    distances = knn(X, 3)[1]
    first, second = distances[:, 1], distances[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(first > 0, np.log(second / first), np.nan)


def _dimension(logs: np.ndarray) -> float:
    good = logs[np.isfinite(logs)]
    return float(len(good) / good.sum()) if len(good) > 2 and good.sum() > 0 else _NAN


class StructureScorer:
    """Metrics of structure of one embedding, on all cells or on a subset.

    Parameters
    ----------
    scorer
        The scorer of the same embedding, whose neighbour graph is used again.
    own, raw
        Principal components of each batch by itself (cells x components), and raw neighbours; see `intra_type` and
        `r_nx`.
    rows
        Cells that are scored; all where None. Neighbours and clusters are those of all cells in any case.
    """

    def __init__(
        self, scorer: IntegrationScorer, own: np.ndarray, raw: np.ndarray, rows: np.ndarray | None = None
    ) -> None:
        self.rows = np.arange(scorer.n) if rows is None else rows
        self.scorer = scorer
        self.X, self.batches = scorer.all.X, scorer.batches
        self.labels = np.full(scorer.n, -1)
        self.labels[scorer.has_label] = scorer.labels
        self.cells = {
            "rnx": r_nx(self.X, raw, self.batches),
            "intra_type": intra_type(self.X, own, self.batches, self.labels),
        }
        self.consensus = Consensus(own, self.batches, self.labels)
        self._chance = self.consensus.chance(self.X, self.labels)
        self._clusters = None
        if len(scorer.labels) > 2 and len(np.unique(scorer.labels)) > 1:
            sweep = Sweep("fixed", scorer.labelled.n, scorer.seed)
            sweep.feed(scorer.labelled.graph(15))
            self._clusters = sweep.result(scorer.labels)
        rng = np.random.default_rng(0)
        self._sample = np.sort(rng.permutation(scorer.n)[:_MOST_TWONN])
        self._logs = two_nn(self.X[self._sample])
        shape = (len(self._sample), self.X.shape[1])
        self._null = float(np.mean([_dimension(two_nn(rng.standard_normal(shape))) for _ in range(_NULLS)]))

    def values(self) -> dict[str, float]:
        """Value of every id in ``IDS``; NaN where it is undefined."""
        return self.replicate(np.ones(len(self.rows), bool))

    def replicate(self, keep: np.ndarray) -> dict[str, float]:
        """The same on the scored cells that are kept; neighbourhoods, clusters and the consensus stay as they are."""
        out = dict.fromkeys(IDS, _NAN)
        mask = np.zeros(self.scorer.n, bool)
        mask[self.rows[keep]] = True
        keep = mask
        inside = keep[self.scorer.has_label]
        if self._clusters is not None and len(np.unique(self.scorer.labels[inside])) > 1:
            labels = self.scorer.labels[inside]
            tables = [agreement.contingency(row[inside], labels) for row in self._clusters.memberships]
            out["nmi_fixed"] = float(np.mean([agreement.nmi(table) for table in tables]))
            out["ari_fixed"] = float(np.mean([agreement.ari(table) for table in tables]))
        out["rnx"] = mean_by_label(self.cells["rnx"][keep], self.batches[keep])
        typed = keep & (self.labels >= 0)
        out["intra_type"] = mean_by_label(self.cells["intra_type"][typed], self.labels[typed])
        out["scgraph"] = self.consensus.value(self.X[keep], self.labels[keep])
        if self._chance < 1:
            out["scgraph_corrected"] = (out["scgraph"] - self._chance) / (1 - self._chance)
        out["participation"] = participation(self.X[keep])
        if self._null > 0:
            out["intrinsic_dimension"] = _dimension(self._logs[keep[self._sample]]) / self._null
        return out

    def units(self) -> dict[str, np.ndarray]:
        """Values of each scored cell; NaN where one takes no part."""
        return {name: values[self.rows] for name, values in self.cells.items()}

    @property
    def findings(self) -> list[str]:
        """What is left out or undefined, and why."""
        found = list(self.consensus.findings)
        asked = int(np.isfinite(self.cells["rnx"]).sum())
        if not asked:
            found.append(f"R_NX undefined: no batch has {LEAST_BATCH} cells")
        if not np.isfinite(self.cells["intra_type"]).any():
            found.append(f"conservation inside types undefined: no type has {LEAST_GROUP} cells in a batch")
        return found
