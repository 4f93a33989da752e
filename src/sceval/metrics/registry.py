"""Every metric, declared once as data. The page docs/metrics.md is rendered from here by ``document``."""

from __future__ import annotations

from dataclasses import dataclass

from sceval.metrics.declarations import ROWS

#: The rule that gives anchor 0 and anchor 1, `zero / one`; each side is a source that `planning/scaling.py` knows.
ANCHOR_RULES = {
    "blind control / label oracle": "0: best blind control (random, batch one-hot, log-total) by its mean over seeds; "
    "1: label oracle with noise",
    "unintegrated PCA / permuted batches": "0: unintegrated PCA of log CP10k; 1: the same PCA with the batches "
    "permuted inside each type",
    "blind control / oracle without batch": "0: the blind control with the best S_final (one run for all three); "
    "1: oracle without batch",
    "blind controls / 1": "0: best of majority, stratified random, log-total regression; 1: one",
    "prior / 0": "0: the class frequencies of the training part as probabilities; 1: zero",
    "blind control / 1": "0: the best blind control by its mean over seeds; 1: one",
    "blind control / 0": "0: the best blind control by its mean over seeds; 1: zero",
    "blind control / ceiling": "0: the best blind control by its mean over seeds; 1: what the data allow, measured by "
    "the task (see its page)",
    "floor / 1": "0: measured by the task on the data (for AUPRC the share of positives, which is chance); 1: one",
    "floor / ceiling": "both measured by the task on the data: what no model is needed for, and what the data allow",
    "chance / ceiling": "0: one half, which is chance; 1: what the data allow, measured by the task",
    "chance / 1": "0: one half, which is chance; 1: one",
    "unscaled": "shown as measured",
}

#: The metric that makes the rank of a task.
RANK_BY = {
    "batch_integration": "s_final",
    "multiomic_integration": "s_final",
    "cell_type_annotation": "macro_f1",
    "gene_function": "gene_auroc",
    "gene_network": "network_auprc",
    "perturbation": "pearson_delta",
    "simulation": "sim_energy_new",
    "imputation": "imp_pearson_gene",
}


@dataclass(frozen=True)
class Metric:
    """One metric.

    ``range``: lowest and highest possible value; ``direction``: +1 where high is good, -1 where low is. ``unit``: what
    is resampled for its interval. ``needs``: what it is computed from. ``blind_spots``: what it cannot see.
    ``headline``: the tasks whose rank it takes part in.
    """

    id: str
    name: str
    version: str
    group: str
    tasks: tuple[str, ...]
    range: tuple[float, float]
    direction: int
    unit: str
    needs: tuple[str, ...]
    anchors: str
    formula: str
    blind_spots: str
    reference: str
    headline: tuple[str, ...] = ()


METRICS: dict[str, Metric] = {row["id"]: Metric(**row) for row in ROWS}


def metric(name: str) -> Metric:
    """Return the declaration of a metric.

    Raises
    ------
    KeyError
        For an unknown id, with the nearest known ones.
    """
    if name not in METRICS:
        import difflib

        near = difflib.get_close_matches(name, METRICS, n=3) or sorted(METRICS)
        raise KeyError(f"unknown metric {name!r}; did you mean {', '.join(near)}?")
    return METRICS[name]


def for_task(task: str) -> list[Metric]:
    """All metrics of a task, in the order of the tables."""
    return [m for m in METRICS.values() if task in m.tasks]


def headline(task: str) -> list[Metric]:
    """The metrics that make the rank of a task."""
    return [m for m in METRICS.values() if task in m.headline]


def document() -> str:
    """Render the page docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "This page is made from `src/sceval/metrics/registry.py`; to change it, change that file and run "
        "`python -m sceval.metrics.document docs/metrics.md`. A test holds the two together.",
        "",
        "A metric has an id, a semantic version (a change of values is a new one), a range, a direction, a unit of "
        "resampling for its interval, and two anchors, measured on the data, that `scaled` maps to 0 and 1.",
        "",
        "## Anchors",
        "",
        "| rule | what is measured |",
        "|---|---|",
        *(f"| {rule} | {text} |" for rule, text in ANCHOR_RULES.items()),
    ]
    groups: dict[tuple[str, ...], list[Metric]] = {}
    for entry in METRICS.values():
        groups.setdefault(entry.tasks, []).append(entry)
    for tasks, entries in groups.items():
        title = " and ".join(task.replace("_", " ") for task in tasks)
        rank = ", ".join(sorted({f"`{RANK_BY[task]}`" for task in tasks}))
        lines += ["", f"## {title[0].upper()}{title[1:]}", "", f"Ranked by {rank}. In bold: headline.", ""]
        lines += ["| id | name | range | better | group | anchors | version |", "|---|---|---|---|---|---|---|"]
        for m in entries:
            shown = f"**`{m.id}`**" if m.headline else f"`{m.id}`"
            better = "high" if m.direction > 0 else "low"
            span = f"{_number(m.range[0])} to {_number(m.range[1])}"
            lines.append(f"| {shown} | {m.name} | {span} | {better} | {m.group} | {m.anchors} | {m.version} |")
        for m in entries:
            lines += [
                "",
                f"### `{m.id}`: {m.name}",
                "",
                m.formula,
                "",
                f"- Needs: {', '.join(m.needs)}. Resampled: {m.unit}.",
                f"- Blind to: {m.blind_spots}",
                f"- Reference: {m.reference}",
            ]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return "no limit" if value in (float("inf"), float("-inf")) else f"{value:g}"
