"""The same network metrics as `network.py`, on matrices: sorted once, then cut again for every replicate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Possible edges by falling score.

    Attributes
    ----------
    source
        Row of the source of each edge, m.
    true
        Whether it is an edge of the reference, m.
    score
        Its score, m; -inf where it was not predicted.
    """

    source: np.ndarray
    true: np.ndarray
    score: np.ndarray


def ranking(truth: np.ndarray, score: np.ndarray, possible: np.ndarray) -> Ranking:
    """Sort the possible edges.

    Parameters
    ----------
    truth
        True where an edge is, sources x targets.
    score
        Score of each edge, sources x targets; -inf or NaN where none was predicted.
    possible
        True where an edge may be (no self-loop), sources x targets.
    """
    source = np.broadcast_to(np.arange(truth.shape[0])[:, None], truth.shape)[possible]
    values = np.where(np.isnan(score), -np.inf, score)[possible]
    order = np.argsort(-values, kind="stable")
    return Ranking(source[order], truth[possible][order], values[order])


def network_values(ranked: Ranking, keep: np.ndarray | None = None) -> dict[str, float]:
    """Score a ranking of edges, of all sources or of some.

    Parameters
    ----------
    ranked
        From `ranking`.
    keep
        Sources to keep, or None for all.

    Returns
    -------
    values
        `auprc`: average precision, tied scores as one step. `auprc_trapezoid`: as BEELINE; it draws a flood of ties as
        a straight line from precision 1, which is worth one half. `auroc`: ties as one half. `epr`: precision of the
        first k edges over the density; k = true edges, all ties of the last one kept, only predicted edges count.
        `jaccard`: of those edges and the true ones. `density`. NaN without a true or a false edge. Source: Pratapa et
        al. 2020 (BEELINE), with the universe of its TF restriction.
    """
    here = slice(None) if keep is None else keep[ranked.source]
    true, score = ranked.true[here], ranked.score[here]
    n, n_true = len(true), int(true.sum())
    if not n_true or n_true == n:
        return dict.fromkeys(("auprc", "auprc_trapezoid", "auroc", "epr", "jaccard", "density"), float("nan"))
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    hits = np.cumsum(true)[last]
    precision = np.concatenate([[1.0], hits / (last + 1)])
    recall = np.concatenate([[0.0], hits / n_true])
    false_rate = np.concatenate([[0.0], (last + 1 - hits) / (n - n_true)])
    predicted = int(np.isfinite(score).sum())
    early, jaccard = 0.0, 0.0
    if predicted:
        cut = np.searchsorted(last, min(n_true, predicted) - 1)
        chosen, right = int(last[cut]) + 1, int(hits[cut])
        early, jaccard = right / chosen, right / (chosen + n_true - right)
    density = n_true / n
    return {
        "auprc": float(np.sum(np.diff(recall) * precision[1:])),
        "auprc_trapezoid": float(np.trapezoid(precision, recall)),
        "auroc": float(np.trapezoid(recall, false_rate)),
        "epr": early / density,
        "jaccard": jaccard,
        "density": density,
    }


def auroc_by_source(ranked: Ranking, n_sources: int) -> np.ndarray:
    """Return the AUROC of each source's own edges, n_sources; NaN where it has no true or no false one."""
    out = np.full(n_sources, np.nan)
    for row in range(n_sources):
        out[row] = network_values(ranked, np.arange(n_sources) == row)["auroc"]
    return out


def degree_null(truth: np.ndarray) -> np.ndarray:
    """Return out-degree x in-degree of the reference itself, sources x targets: what an oracle of degrees would say.

    It knows of no edge. A network that does not beat it has found which genes are hubs, and no more.
    """
    return np.outer(truth.sum(axis=1), truth.sum(axis=0)).astype(float)


def edge_jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Jaccard index of two sets of edges, given as codes without repetition; NaN where both are empty."""
    both = len(np.intersect1d(a, b, assume_unique=True))
    either = len(a) + len(b) - both
    return both / either if either else float("nan")


def random_jaccard(n: int, m: int, rng: np.random.Generator) -> float:
    """Jaccard index of two random sets of m of n edges: the overlap is hypergeometric."""
    if not m:
        return float("nan")
    both = int(rng.hypergeometric(m, n - m, m))
    return both / (2 * m - both)
