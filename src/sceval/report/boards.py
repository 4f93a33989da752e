"""A board: what the variants of one task, dataset and split scored on the metric that ranks them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sceval.metrics.registry import RANK_BY
from sceval.report.entries import Entry
from sceval.report.pairs import Pairs
from sceval.report.text import missing, slug

if TYPE_CHECKING:
    import pandas as pd

    from sceval.report.load import Results

KEYS = ["task", "dataset", "split"]
NOTHING_TO_REMOVE = "nothing to remove"
"""Words in a note or a finding that say that the cells carry no batch effect beyond chance."""
COSTS = ("total_cpu_s", "cpu_s")
"""CPU seconds of a run, those of the runs that it reads from included where the table knows them."""
LABEL_FREE = ("batch_integration", "multiomic_integration")
"""Tasks in which a run that sees labels is ranked apart."""


@dataclass
class Board:
    """The variants of one task, dataset and split, best first; those without a score last."""

    task: str
    dataset: str
    split: str
    metric: str | None
    direction: int
    headline: bool
    metrics: list[str]
    entries: list[Entry]
    absent: list[Entry]
    pairs: Pairs
    nothing_to_remove: str = ""
    caution: str = ""
    sampling: str = ""
    mdd: float | None = None

    @property
    def anchor(self) -> str:
        """Id of the board in deep links."""
        return slug(self.task, self.dataset, self.split)

    @property
    def idle(self) -> bool:
        """Whether nothing was meant to run here: every variant is not applicable."""
        holes = [hole for entry in self.absent for hole in entry.holes]
        return not self.entries and bool(holes) and all(hole["status"] == "not_applicable" for hole in holes)

    @property
    def ranked(self) -> list[Entry]:
        """Variants that compete, best first."""
        return [entry for entry in self.entries if entry.ranked]


def boards(results: Results) -> list[Board]:
    """Return one board for each task, dataset and split that was planned, run or scored.

    The order is that of the dataset cards, then alphabetical.
    """
    import pandas as pd

    keys = pd.concat([results[kind][KEYS] for kind in ("summary", "runs", "plan")]).drop_duplicates()
    order = {card["dataset"]: place for place, card in enumerate(results.datasets)}
    rows = [tuple(str(part) for part in key) for key in keys.itertuples(index=False)]
    return [_board(results, key) for key in sorted(rows, key=lambda k: (k[0], order.get(k[1], len(order)), k[1], k[2]))]


def group(table: pd.DataFrame, key: tuple[str, str, str]) -> pd.DataFrame:
    """Return the rows of a table that belong to a task, dataset and split."""
    return table[(table.task == key[0]) & (table.dataset == key[1]) & (table.split == key[2])]


def _board(results: Results, key: tuple[str, str, str]) -> Board:
    summary, scores = group(results["summary"], key), group(results["scores"], key)
    metric, headline = _leading(summary, key[0])
    lead = summary[summary.metric == metric]
    direction = int(lead.direction.iloc[0]) if len(lead) else 1
    variants = _variants(results, key)
    rows = {row["variant"]: row for row in lead.to_dict("records")}
    heads = list(dict.fromkeys(summary.metric[summary.headline & (summary.metric != metric)]))
    cells = {(row["variant"], row["metric"]): row for row in summary[summary.metric.isin(heads)].to_dict("records")}
    for entry in variants:
        _fill(entry, rows.get(entry.variant))
        entry.others = {head: cells[entry.variant, head] for head in heads if (entry.variant, head) in cells}
    pairs = Pairs.of(group(results["differences"], key), metric, direction)
    scored = sorted((e for e in variants if e.value is not None), key=lambda e: (-direction * e.value, e.variant))
    # The order shown is that of the ranks, which decide; controls stand where their value puts them.
    best = next((entry for entry in sorted(scored, key=_by_rank) if entry.ranked), None)
    for entry in scored:
        entry.tied = bool(best and entry.ranked and entry is not best and pairs.tied(best, entry))
    if best and any(entry.tied for entry in scored):
        best.tied = True
    mdd = scores.mdd[(scores.metric == metric) & scores.mdd.notna()]
    return Board(
        *key,
        metric=metric,
        direction=direction,
        headline=headline,
        metrics=heads,
        entries=scored,
        absent=[entry for entry in variants if entry.value is None],
        pairs=pairs,
        nothing_to_remove=_nothing(scores, results["findings"], key),
        caution=_caution(lead, scores),
        sampling=_sampling(scores[scores.metric == metric]),
        mdd=float(mdd.median()) if len(mdd) else None,
    )


def _by_rank(entry: Entry) -> tuple[bool, int]:
    return entry.rank is None, entry.rank or 0


def _leading(summary: pd.DataFrame, task: str) -> tuple[str | None, bool]:
    """Return the metric that makes the rank: the registry's for the task, else the first headline metric scored."""
    scored = summary[summary.value.notna()]
    for table, headline in ((scored[scored.headline.fillna(False)], True), (scored, False)):
        present = list(dict.fromkeys(table.metric))
        if present:
            return RANK_BY[task] if RANK_BY.get(task) in present else present[0], headline
    return None, False


def _variants(results: Results, key: tuple[str, str, str]) -> list[Entry]:
    """Every variant that any table knows, with the median cost of its runs and what became of those without a score."""
    runs, plan, summary = (group(results[kind], key) for kind in ("runs", "plan", "summary"))
    fed = _feeders(plan)
    runs, plan = (table[~table.run_id.isin(fed)] for table in (runs, plan))
    entries: dict[str, Entry] = {}
    for table in (plan, runs, summary):
        for row in table[["variant", "model", "regime", "kind"]].drop_duplicates("variant").itertuples(index=False):
            entries.setdefault(row.variant, Entry(row.variant, row.model, row.regime, row.kind))
    flagged = runs.get("uses_labels")
    ran, meant = (dict(tuple(table.groupby("variant"))) for table in (runs, plan))
    for variant, entry in entries.items():
        mine = ran.get(variant, runs.iloc[:0])
        fine = mine[mine.status == "ok"]
        entry.cpu_s = _median(fine, *COSTS)
        entry.wall_s = _median(fine, "wall_s")
        if flagged is not None and key[0] in LABEL_FREE:
            entry.uses_labels = bool(flagged[mine.index].fillna(False).astype(bool).any())
        entry.holes = _holes(mine if len(mine) else meant.get(variant, plan.iloc[:0]))
    return list(entries.values())


def _feeders(plan: pd.DataFrame) -> set[str]:
    """Return the runs whose output other runs read and that are not scored themselves: they are no variants."""
    unscored = plan.run_id[(plan.status == "planned") & (plan.output_of.fillna("") == "")]
    return set(unscored) & set(plan.needs.dropna())


def _median(runs: pd.DataFrame, *columns: str) -> float | None:
    """Return the median of the first column that has a value."""
    for column in columns:
        known = runs[column].dropna() if column in runs else ()
        if len(known):
            return float(known.median())
    return None


def _holes(runs: pd.DataFrame) -> list[dict[str, Any]]:
    counts: dict[tuple[str, str], int] = {}
    for status, reason in zip(runs.status, runs.reason, strict=True):
        if status != "ok":
            key = (
                "not_run" if status == "planned" else status,
                "no reason was recorded" if missing(reason) else reason,
            )
            counts[key] = counts.get(key, 0) + 1
    return [{"status": status, "reason": reason, "n": n} for (status, reason), n in counts.items()]


def _fill(entry: Entry, row: dict[str, Any] | None) -> None:
    for name in () if row is None else ("value", "value_low", "value_high", "scaled", "low", "high", "coverage"):
        setattr(entry, name, None if missing(row[name]) else float(row[name]))
    for name in () if row is None else ("rank", "rank_low", "rank_high"):
        setattr(entry, name, None if missing(row[name]) else int(row[name]))
    entry.n_runs = 0 if row is None else int(row["n_runs"])


def _caution(lead: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Return why the metric that ranks says little here; empty where it is informative."""
    if lead.empty or lead.informative.fillna(True).all():
        return ""
    notes = scores.note[(scores.metric == lead.metric.iloc[0]) & scores.note.notna()]
    said = [note for note in notes if "uninformative" in note or "demoted" in note]
    return (said or ["uninformative: its anchors are not apart here"])[0]


def _sampling(scores: pd.DataFrame) -> str:
    """Say what the intervals of a metric are about: the unit that was resampled, and how many of them."""
    units = scores[scores.unit.notna() & scores.value_low.notna()]
    if units.empty:
        return "no intervals"
    unit = str(units.unit.mode().iloc[0])
    n = units.n_units[units.unit == unit].dropna()
    count = f"{int(n.median()):,} " if len(n) else ""
    plural = unit + ("es" if unit.endswith("ch") else "s")
    return f"intervals over {count}{plural}" + (": sampling of these cells only" if unit == "cell" else "")


def _nothing(scores: pd.DataFrame, findings: pd.DataFrame, key: tuple[str, str, str]) -> str:
    """Return the sentence that says that there is no batch effect to remove; empty where none does.

    It stands in the note of a score or among the findings. Where no finding gives another reason, a composite marked
    `partial` whose PCR is undefined in every run says the same.
    """
    about = (findings.task == key[0]) & (findings.dataset == key[1])
    own = findings.finding[findings.run_id.isin(scores.run_id) | (about & (findings.run_id.fillna("") == ""))]
    for sentence in [*scores.note.dropna(), *own.dropna()]:
        if NOTHING_TO_REMOVE in sentence.lower():
            return sentence
    if own.str.contains("PCR undefined", case=False).any():
        return ""
    composite, pcr = scores[scores.metric.isin(["s_final", "s_batch"])], scores[scores.metric == "pcr"]
    partial = [note for note in composite.note.dropna() if "partial" in note.lower()]
    return partial[0] if partial and len(pcr) and pcr.value.isna().all() else ""
