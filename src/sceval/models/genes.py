"""Genes of a view in the vocabulary of a model: one way for all models, and for the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sceval.data.gene_names import Resolution, resolve
from sceval.data.genes import Genes
from sceval.models.params import Param
from sceval.models.request import Info, NotApplicable, Request

ORTHOLOGUES = Param(
    "orthologues",
    False,
    "Take mouse cells too: their genes become human ones by one-to-one orthologue, then by the symbol in upper case.",
)

GENE_NAMES = Param(
    "gene_names",
    "resolved",
    "How genes are found: `resolved`, also by former and alias symbols, Ensembl id, case; `exact`, as spelled only.",
    choices=("resolved", "exact"),
)

PARAMS = (ORTHOLOGUES, GENE_NAMES)
"""Hyper-parameters of a model that has a vocabulary of human genes."""


def kind_of(gene_ids: str) -> str:
    """Return the kind of names (`symbol`, `ensembl`) of a vocabulary, from `gene_ids` of an info."""
    return "ensembl" if gene_ids == "ensembl_id" else "symbol"


def organism_reason(info: Mapping[str, Any], params: Mapping[str, Any], organism: str, regime: str) -> str:
    """Return why a model cannot take cells of an organism under a regime, or an empty text.

    Parameters
    ----------
    info
        What `sceval-model info` prints.
    params
        Hyper-parameters of the run; defaults may be absent.
    organism
        Of the dataset.
    regime
        `scratch` of a model that else has pre-trained weights makes its vocabulary of the dataset and takes any
        organism; a model without weights says in `organisms` what its code takes.
    """
    takes = info.get("organisms") or [organism]
    if organism in takes or (info.get("needs_weights") and regime == "scratch"):
        return ""
    maps = organism == "mouse" and "human" in takes
    if maps and params.get(ORTHOLOGUES.name, False) is True:
        return ""
    offers = maps and ORTHOLOGUES.name in info.get("params", {})
    hint = '; with params {"orthologues": true} mouse genes become human ones' if offers else ""
    return f"the model knows {', '.join(takes)} only; the dataset is {organism}{hint}"


@lru_cache(maxsize=256)
def _share(
    symbols: tuple[str, ...],
    ensembl: tuple[str, ...],
    organism: str,
    known: frozenset[str],
    kind: str,
    exact_only: bool,
) -> float:
    genes = Genes(list(symbols), [name or None for name in ensembl], organism)
    return resolve(genes, known, kind, exact_only=exact_only).recognised


def share_recognised(
    card: Mapping[str, Any], known: Iterable[str], gene_ids: str, params: Mapping[str, Any] | None = None
) -> float:
    """Return the share of a dataset's genes, from its card, that a vocabulary knows: 0 to 1; remembered."""
    exact_only = (params or {}).get(GENE_NAMES.name) == "exact"
    symbols, ensembl = tuple(card["gene_symbols"]), tuple(card["ensembl_ids"])
    return _share(symbols, ensembl, card.get("organism", "human"), frozenset(known), kind_of(gene_ids), exact_only)


def too_few(share: float, n_genes: int, least: float) -> str:
    """Return why a vocabulary does not fit, or an empty text."""
    if share >= least:
        return ""
    return f"the model recognises {share:.1%} of the {n_genes} genes; at least {least:.0%} are needed"


def recognise(request: Request, known: Iterable[str], info: Info) -> Resolution:
    """Find a view's genes in a vocabulary, and tell what was found.

    `genes_recognised` and `genes_found` (columns by the way in which they were found) go into the facts, what was
    replaced or left out into the warnings.

    Raises
    ------
    NotApplicable
        If the share lies below `info.min_genes_recognised`, or no gene is known at all.
    """
    genes = Genes.of(request.view)
    exact_only = request.params.get(GENE_NAMES.name) == "exact"
    found = resolve(genes, known, kind_of(info.gene_ids), exact_only=exact_only)
    request.facts["genes_recognised"] = round(found.recognised, 6)
    request.facts["genes_found"] = found.counts()
    request.warnings.extend(found.warnings())
    reason = too_few(found.recognised, len(genes), info.min_genes_recognised)
    if reason or not found.recognised:
        first = next(iter(genes.symbols), "")
        msg = f"{reason or f'the model knows none of the {len(genes)} genes'} (first gene here: {first!r})"
        raise NotApplicable(msg)
    return found
