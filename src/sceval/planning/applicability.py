"""Which verb a model uses for a task under a regime, or the reason why there is none."""

from __future__ import annotations

from typing import Any

HEADS_ALONE = "heads alone would not move the embedding, so the result would be that of the embedding as it is"

TASK_IMAGE_PROBE = "probe"
"""Verb of the task's own program that puts the shared head on an embedding."""


def embedding_regime(info: dict[str, Any]) -> str:
    """Return the regime of the embedding that a probe reads: pre-trained where the model has that, else from scratch.

    Empty where the model embeds cells in neither: other regimes see labels or a split.
    """
    has = info["regimes"].get("embed-cells", [])
    return next((regime for regime in ("zero_shot", "scratch") if regime in has), "")


def offered_regimes(info: dict[str, Any], verbs: list[str]) -> list[str]:
    """Return the regimes of the verbs, in the model's order; whoever embeds cells can be probed without saying so."""
    found = [regime for verb in verbs for regime in info["regimes"].get(verb, [])]
    return list(dict.fromkeys(found + ["probe"] * ("embed-cells" in verbs and bool(embedding_regime(info)))))


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
    has = {verb: regime in info["regimes"].get(verb, []) for verb in verbs}
    if task == "batch_integration":
        if regime in ("probe", "frozen"):
            return "", HEADS_ALONE
        for verb in ("integrate", "embed-cells"):
            if has.get(verb):
                return verb, ""
        return "", f"the model has no integrate or embed-cells under {regime}"
    if regime == "zero_shot":
        return "", "annotation needs a head: that is the regime probe"
    if regime == "probe" and "embed-cells" in verbs and embedding_regime(info):
        return TASK_IMAGE_PROBE, ""
    if has.get("annotate"):
        return "annotate", ""
    return "", f"the model has no annotate under {regime}"


def model_reason(info: dict[str, Any], row: dict[str, Any], card: dict[str, Any], regime: str) -> str:
    """Return why a model cannot run on a dataset under a regime, or an empty text."""
    if regime in info.get("needs_weights", []) and not row["weights"]:
        return f"{regime} starts from pre-trained weights and the models sheet names none for {row['model']}"
    if card["organism"] not in info.get("organisms", [card["organism"]]):
        return f"the model knows {', '.join(info['organisms'])} only; the dataset is {card['organism']}"
    if card["matrix"] not in info.get("matrix", ["counts"]):
        return f"the model takes {', '.join(info.get('matrix', ['counts']))}; the dataset holds {card['matrix']}"
    return ""


def genes_reason(info: dict[str, Any], genes: set[str] | None, card: dict[str, Any], regime: str) -> str:
    """Return why a vocabulary does not fit a dataset, with the share recognised, or an empty text.

    Parameters
    ----------
    genes
        Vocabulary of the model (symbols or Ensembl ids), None where it takes any gene.
    regime
        `scratch` builds its vocabulary from the dataset and always fits.
    """
    least = info.get("min_genes_recognised", 0.0)
    if genes is None or regime == "scratch" or not least:
        return ""
    names = card["ensembl_ids"] if info.get("gene_ids") == "ensembl_id" else card["gene_symbols"]
    share = sum(name in genes for name in names) / max(len(names), 1)
    if share >= least:
        return ""
    return f"the model recognises {share:.1%} of the {len(names)} genes; at least {least:.0%} are needed"
