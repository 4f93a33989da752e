"""Values of one network: against the reference, and of its programs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sceval.metrics.network_ranking import auroc_by_source, edge_jaccard, network_values
from sceval.metrics.programs import Enrichment, enrichment, program_jaccard, programs, strongest, undirected
from sceval.metrics.resampling import Plan
from sceval.tasks.gene_network.edges import Edges
from sceval.tasks.gene_network.truth import Truth

NAMES = {
    "auprc": "network_auprc",
    "auprc_trapezoid": "network_auprc_beeline",
    "auroc": "network_auroc",
    "epr": "network_epr",
    "jaccard": "network_edge_jaccard",
}
"""Value of `network_values` -> metric."""


@dataclass
class Found:
    """What was found for one network: values, replicates, AUROC of each source, its edges and programs."""

    values: dict[str, float]
    replicates: dict[str, np.ndarray] = field(default_factory=dict)
    by_source: np.ndarray | None = None
    codes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    programs: list[np.ndarray] = field(default_factory=list)


def _against(ranked: object, truth: Truth, keep: np.ndarray | None) -> dict[str, float]:
    values = network_values(ranked, keep)
    out = {metric: values[name] for name, metric in NAMES.items()}
    out["network_auprc_ratio"] = values["auprc"] / values["density"]
    out["network_gain_expression"] = values["auprc"] - network_values(truth.by_level, keep)["auprc"]
    out["network_gain_degree"] = values["auprc"] - network_values(truth.by_degree, keep)["auprc"]
    return out


def terms_of(found: list[np.ndarray], truth: Truth, *, study: bool = False) -> Enrichment:
    """Return the enrichment of programs for the gene sets of the solution."""
    return enrichment(found, truth.sets, bonferroni=study)


def found_in(edges: Edges, truth: Truth, plan: Plan) -> Found:
    """Score one network.

    Parameters
    ----------
    edges
        Of the output.
    truth
        Of the group.
    plan
        Replicates over regulators.
    """
    n = truth.view.n_vars
    found = Found({})
    if truth.matrix is not None:
        ranked = truth.ranked(edges)
        found.values = _against(ranked, truth, None)
        rows = [_against(ranked, truth, mask) for mask in plan.masks]
        found.replicates = {name: np.array([row[name] for row in rows]) for name in found.values} if rows else {}
        found.by_source = auroc_by_source(ranked, len(truth.sources))
    a, b, score = undirected(edges.source, edges.target, edges.score, n)
    top = strongest(score, truth.n_edges)
    found.codes = a[top] * n + b[top]
    found.programs = programs(a, b, score, n, truth.n_program_edges)
    if truth.matrix is not None:
        found.values["program_jaccard"] = program_jaccard(found.programs, truth.programs)
    if len(truth.sets):
        found.values |= _enriched(found, edges, truth)
    return found


def _enriched(found: Found, edges: Edges, truth: Truth) -> dict[str, float]:
    tested = terms_of(found.programs, truth)
    by_study = programs(edges.source, edges.target, edges.score, truth.view.n_vars, None, "study")
    values = {
        "program_terms": float(tested.terms.mean()),
        "program_enriched": float(tested.enriched.any(axis=1).mean()) if found.programs else 0.0,
        "program_terms_study": float(terms_of(by_study, truth, study=True).terms.mean()),
    }
    if truth.matrix is not None:
        of_truth = terms_of(truth.programs, truth).terms
        either = int((tested.terms | of_truth).sum())
        values["term_jaccard"] = int((tested.terms & of_truth).sum()) / either if of_truth.any() else float("nan")
    return values


def stability(a: Found, b: Found) -> dict[str, float]:
    """Return how alike the strongest edges and the programs of two networks are."""
    return {
        "edge_stability": edge_jaccard(a.codes, b.codes),
        "program_stability": program_jaccard(a.programs, b.programs),
    }
