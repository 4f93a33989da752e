"""Anchors of the multi-omic metrics: what no model is needed for, and what two halves of the RNA allow."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.preprocess import log_cp10k, pca
from sceval.metrics.coding import encode
from sceval.metrics.foscttm import fair_shares
from sceval.metrics.label_transfer import mean_by_class
from sceval.tasks.multiomic_integration.extra import MATCH, pair_rows, two_sides
from sceval.tasks.views import PRE_COMPONENTS
from sceval.training.softmax import fit_softmax

REPETITIONS = 5
"""Times that the RNA is cut into halves."""

PENALTY = 0.1
"""C of the logistic regressions."""

Named = dict[str, dict[str, list[float]]]


def halves(counts: sparse.csr_matrix, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two binomial halves of counts in one PCA of log CP10k (n x k each)."""
    counts = sparse.csr_matrix(counts)
    parts = []
    first = rng.binomial(counts.data.astype(np.int64), 0.5)
    for values in (first, counts.data.astype(np.int64) - first):
        parts.append(sparse.csr_matrix((values.astype(np.float64), counts.indices, counts.indptr), counts.shape))
    scores = pca(log_cp10k(sparse.vstack(parts).tocsr()), PRE_COMPONENTS)[0]
    return scores[: counts.shape[0]], scores[counts.shape[0] :]


def _shares(right: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    return float(right.mean()), mean_by_class(right.astype(float), codes)


def _learned(X: np.ndarray, codes: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return accuracy, plain and balanced, of a logistic regression from some cells to others."""
    head = fit_softmax(X, codes, int(max(codes.max(), truth.max())) + 1, PENALTY)
    return _shares(head.probability(asked).argmax(axis=1) == truth, truth)


def _depth(counts: sparse.csr_matrix) -> np.ndarray:
    """Return log total and log detected, standardized: depths of two modalities are in different units."""
    total = np.asarray(counts.sum(axis=1), float).ravel()
    detected = np.asarray((counts != 0).sum(axis=1), float).ravel()
    values = np.log1p(np.column_stack([total, detected]))
    return (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)


def _floors(view: CellFile, codes: np.ndarray, source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return accuracy, plain and balanced, of the better of class prior and regression on depth."""
    majority = np.bincount(codes[source]).argmax()
    prior = _shares(codes[target] == majority, codes[target])
    depth = _learned(_depth(view.X[source]), codes[source], _depth(view.X[target]), codes[target])
    return max(prior[0], depth[0]), max(prior[1], depth[1])


def transfer_anchors(view: CellFile, solution: CellFile) -> Named:
    """Return floor and ceiling of FOSCTTM, match at 10 and label transfer; empty in the paired splits.

    Ceiling: two binomial halves of the counts of the RNA rows are taken for two modalities of the same cells. FOSCTTM
    and match at 10 are those of the halves in one PCA, label transfer is a logistic regression from half to half.
    Floor of match at 10: k / N; of label transfer: class prior or a regression on depth, the better.
    """
    rna, other = two_sides(solution)
    if not len(rna) or not len(other):
        return {}
    codes = encode(solution.obs["cell_type"])[0]
    first = pair_rows(solution)[0]
    out: Named = {}
    rows = first if len(first) > MATCH else rna
    labelled = codes[rows] >= 0
    rng = np.random.default_rng(0)
    for _ in range(REPETITIONS):
        a, b = halves(view.X[rows], rng)
        if len(first) > MATCH:
            there, back = fair_shares(a, b, MATCH), fair_shares(b, a, MATCH)
            for place, name in enumerate(("foscttm", "match10")):
                value = float(np.mean([there[place].mean(), back[place].mean()]))
                out.setdefault(name, {}).setdefault("ceiling", []).append(value)
        if len(np.unique(codes[rows][labelled])) > 1:
            plain, balanced = _learned(a[labelled], codes[rows][labelled], b[labelled], codes[rows][labelled])
            for name in ("transfer_to_other", "transfer_to_rna"):
                out.setdefault(name, {}).setdefault("ceiling", []).append(plain)
            out.setdefault("transfer_balanced", {}).setdefault("ceiling", []).append(balanced)
    if "match10" in out:
        out["match10"]["floor"] = [MATCH / len(first)]
    sides = {"rna": rna[codes[rna] >= 0], "other": other[codes[other] >= 0]}
    if "transfer_balanced" in out and all(len(side) for side in sides.values()):
        to_other = _floors(view, codes, sides["rna"], sides["other"])
        to_rna = _floors(view, codes, sides["other"], sides["rna"])
        out["transfer_to_other"]["floor"], out["transfer_to_rna"]["floor"] = [to_other[0]], [to_rna[0]]
        out["transfer_balanced"]["floor"] = [(to_other[1] + to_rna[1]) / 2]
    return out
