"""Which verb a model uses for a task under a regime, or the reason why there is none."""

from __future__ import annotations

from typing import Any

from sceval.contract.tasks import TASKS
from sceval.models.genes import organism_reason, share_recognised, too_few

TASK_IMAGE_PROBE = "probe"
"""Verb of the task's own program that puts the shared head on an embedding."""


def embedding_regime(info: dict[str, Any], verb: str = "embed-cells") -> str:
    """Return the regime of the embedding that a probe reads: pre-trained where the model has that, else from scratch.

    Empty where the model embeds in neither: other regimes see labels or a split.
    """
    has = info["regimes"].get(verb, [])
    return next((regime for regime in ("zero_shot", "scratch") if regime in has), "")


def offered_regimes(info: dict[str, Any], verbs: list[str]) -> list[str]:
    """Return the regimes of the verbs, in the model's order; whoever embeds can be probed without saying so."""
    found = [regime for verb in verbs for regime in info["regimes"].get(verb, [])]
    embeds = any(verb in verbs and embedding_regime(info, verb) for verb in ("embed-cells", "embed-genes"))
    return list(dict.fromkeys(found + ["probe"] * embeds))


def choose_verb(info: dict[str, Any], verbs: list[str], task: str, regime: str) -> tuple[str, str]:
    """Return (verb, reason); one of them is empty.

    Parameters
    ----------
    info
        What `sceval-model info` printed.
    verbs
        Verbs that the row of the models sheet allows.
    task, regime
        What is asked.
    """
    card = TASKS[task]
    if card.heads_alone and regime in ("probe", "frozen"):
        return "", card.heads_alone
    if regime == "probe" and card.probes in verbs and embedding_regime(info, card.probes):
        return TASK_IMAGE_PROBE, ""
    for verb in card.verbs:
        if verb in verbs and regime in info["regimes"].get(verb, []):
            return verb, ""
    name = task.replace("_", " ")
    if regime == "zero_shot" and card.probes in verbs:
        return "", f"{name} needs a head: that is the regime probe"
    return "", f"the model has no {' or '.join(card.verbs)} under {regime}"


def learns_labels(info: dict[str, Any], params: dict[str, Any], verb: str) -> bool:
    """Return whether a verb uses labels: always, or because the parameter `use_labels` is on."""
    return verb in info.get("uses_labels", []) or (
        "use_labels" in info.get("params", {}) and params.get("use_labels", False) is True
    )


def by_labels(
    outcomes: list[tuple[str, str, str]], info: dict[str, Any], params: dict[str, Any], task: str, split: str
) -> list[tuple[str, str, str]]:
    """Return (regime, verb, reason) where a split shows labels to some models and hides them from the others.

    On a split that shows labels only verbs that use them are left; elsewhere these are not applicable, with the reason.
    """
    labelled = TASKS[task].labelled
    used = [bool(verb) and learns_labels(info, params, verb) for _, verb, _ in outcomes]
    if split in labelled:
        return [outcome for outcome, uses in zip(outcomes, used, strict=True) if uses]
    told = f"it learns from labels, which this split hides: that is the split {labelled[0]}" if labelled else ""
    return [
        (regime, "", told) if uses and labelled else (regime, verb, reason)
        for (regime, verb, reason), uses in zip(outcomes, used, strict=True)
    ]


def model_reason(info: dict[str, Any], row: dict[str, Any], card: dict[str, Any], regime: str) -> str:
    """Return why a model cannot run on a dataset under a regime, or an empty text."""
    if regime in info.get("needs_weights", []) and not row["weights"]:
        return f"{regime} starts from pre-trained weights and the models sheet names none for {row['model']}"
    if reason := organism_reason(info, row.get("params", {}), card["organism"], regime):
        return reason
    if card["matrix"] not in info.get("matrix", ["counts"]):
        return f"the model takes {', '.join(info.get('matrix', ['counts']))}; the dataset holds {card['matrix']}"
    return ""


def genes_reason(
    info: dict[str, Any],
    genes: frozenset[str] | None,
    card: dict[str, Any],
    regime: str,
    params: dict[str, Any] | None = None,
) -> str:
    """Return why a vocabulary does not fit a dataset, with the share recognised, or an empty text.

    Parameters
    ----------
    genes
        Vocabulary of the model (symbols or Ensembl ids), None where it takes any gene.
    regime
        `scratch` builds its vocabulary from the dataset and always fits.
    params
        Of the model's row: `gene_names` decides how names are looked up.
    """
    least = info.get("min_genes_recognised", 0.0)
    if genes is None or regime == "scratch" or not least:
        return ""
    share = share_recognised(card, genes, info.get("gene_ids", "any"), params)
    return too_few(share, len(card["gene_symbols"]), least)
