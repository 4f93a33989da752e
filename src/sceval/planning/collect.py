"""COLLECT: plan, records and scores joined into the tables of the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sceval.contract import columns
from sceval.contract import tables as contract_tables
from sceval.metrics.registry import METRICS
from sceval.planning.ranks import RANKED, Pool, bounds, differences, ranks, t_quantile
from sceval.planning.scaling import Anchor, anchors_of, demotion, scaled_interval
from sceval.planning.statuses import Statuses, cost_card, read_receipts, read_record, read_trace

_GROUP = ["dataset", "task", "split"]
_PARTS = {
    "s_bio": ("nmi", "ari", "asw_label"),
    "s_batch": ("asw_batch", "pcr", "gc_scib"),
    "s_final": ("nmi", "ari", "asw_label", "asw_batch", "pcr", "gc_scib"),
}


def _concat(scored: Path, name: str, empty: list[str]) -> pd.DataFrame:
    found = [pd.read_parquet(path) for path in sorted(scored.glob(f"*/{name}.parquet"))]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=empty)


def runs_table(
    plan: pd.DataFrame, records: Path, verdicts: dict[str, dict], trace: Path | None, fetched: Path | None = None
) -> pd.DataFrame:
    """Return one row for each planned run: status, reason and cost card."""
    cards = {run_id: read_record(records / run_id / "run.json") for run_id in plan["run_id"]}
    known = {key: card for key, card in cards.items() if card}
    statuses = Statuses(known, verdicts, read_trace(trace), read_receipts(fetched))
    rows = []
    for row in plan.sort_values("needs", key=lambda needs: needs != "", kind="stable").to_dict("records"):
        status, reason = statuses.of(row)
        out = {name: row[name] for name in columns("plan")[:10]} | {"status": status, "reason": reason or None}
        out |= cost_card(cards[row["run_id"]]) | {"image": row["image"] or None, "program": row["program"] or None}
        out["output"] = f"outputs/{row['run_id']}" if cards[row["run_id"]] else None
        out |= {name: row.get(name) or None for name in ("weights", "weights_licence")}
        rows.append(out)
    order = {run_id: place for place, run_id in enumerate(plan["run_id"])}
    return pd.DataFrame(rows).sort_values("run_id", key=lambda ids: ids.map(order)).reset_index(drop=True)


def _notes(group: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return (run, metric) -> why it is undefined or partial."""
    wide = group.pivot(index="run_id", columns="metric", values="value")
    notes = {}
    for run_id, values in wide.iterrows():
        for metric, value in values.items():
            if not np.isfinite(value):
                notes[run_id, metric] = "undefined on this output; the reason stands among the findings"
            missing = [part for part in _PARTS.get(metric, ()) if part in values and not np.isfinite(values[part])]
            if missing:
                notes[run_id, metric] = f"partial: mean without {', '.join(missing)}, which is undefined here"
    return notes


def _uninformative(zero: Anchor, one: Anchor, width: float) -> str:
    if not np.isfinite(width):
        return "not scaled: an anchor is missing or undefined here"
    apart = width > 0 and width >= 2 * np.hypot(zero.sd, one.sd)
    return "" if apart else "uninformative: the anchors are not apart here"


def _group_scores(group: pd.DataFrame, replicates: pd.DataFrame, measured: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the scores table for one dataset, task, split and split seed."""
    notes = _notes(group)
    errors = replicates.groupby(["run_id", "metric"])["value"].std(ddof=1).to_dict()
    rows = []
    for metric in [name for name in METRICS if name in set(group["metric"])]:
        declared = METRICS[metric]
        zero, one = anchors_of(metric, group, measured)
        width = declared.direction * (one.mean - zero.mean)
        scaled_here = declared.anchors != "unscaled"
        reasons = (demotion(metric, group), _uninformative(zero, one, width) if scaled_here else "")
        why = "; ".join(text for text in reasons if text)
        for row in group[group["metric"] == metric].to_dict("records"):
            se = errors.get((row["run_id"], metric), float("nan"))
            t = t_quantile(row["df"])
            low, high = bounds(metric)
            s, s_low, s_high = scaled_interval(row["value"], se, zero, one, t)
            note = "; ".join(text for text in (notes.get((row["run_id"], metric), ""), why) if text)
            rows.append(
                {name: row[name] for name in columns("plan")[:10]}
                | {
                    "metric": metric,
                    "value": row["value"],
                    "value_low": max(row["value"] - t * se, low),
                    "value_high": min(row["value"] + t * se, high),
                    "direction": declared.direction,
                    "anchor0": zero.mean,
                    "anchor1": one.mean,
                    "scaled": s,
                    "low": s_low,
                    "high": s_high,
                    "unit": row["unit"],
                    "n_units": row["n_units"],
                    "headline": row["task"] in declared.headline and (not why or metric == "s_final"),
                    "informative": not why,
                    "mdd": float("nan"),
                    "note": note or None,
                    "df": row["df"],
                    "anchor0_source": zero.source or None,
                    "anchor1_source": one.source or None,
                    "anchor0_se": zero.se,
                    "anchor1_se": one.se,
                }
            )
    return rows


def _summary(
    scores: pd.DataFrame, replicates: pd.DataFrame, runs: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return summary, paired differences, and scores with the minimum detectable difference filled in."""
    planned = runs[runs["status"] != "not_applicable"].groupby([*_GROUP, "variant"]).size()
    by_run = dict(tuple(replicates.groupby(["run_id", "metric"])))
    costs = runs.groupby("variant")["total_cpu_s"].mean().to_dict()
    rows, pairs = [], []
    scores = scores.copy()
    for key, group in scores.groupby([*_GROUP, "metric"], sort=False):
        metric = key[-1]
        pools, kinds = {}, {}
        for variant, part in group.groupby("variant", sort=False):
            found = [by_run[run, metric] for run in part["run_id"] if (run, metric) in by_run]
            pools[variant] = Pool(part, pd.concat(found) if found else None)
            kinds[variant] = part.iloc[0]
        ranked = {name: pool for name, pool in pools.items() if kinds[name]["kind"] in RANKED}
        place = ranks(ranked, METRICS[metric].direction)
        different, mdd = differences(ranked, costs)
        scores.loc[group.index, "mdd"] = mdd
        if group["headline"].any():
            pairs += [dict(zip([*_GROUP, "metric"], key, strict=True)) | pair for pair in different]
        for variant, pool in pools.items():
            first = kinds[variant]
            part = group[group["variant"] == variant]
            low, high = pool.interval(bounds(metric))
            width = first["anchor1"] - first["anchor0"]
            scaled = part["scaled"].mean()
            errors = pool.se, (1 - scaled) * first["anchor0_se"], scaled * first["anchor1_se"]
            half = t_quantile(pool.df) * np.linalg.norm(errors) / abs(width) if width else float("nan")
            rank = place.get(variant, (None, None, None))
            rows.append(
                dict(zip(_GROUP, key, strict=False))
                | {
                    name: first[name]
                    for name in ("model", "regime", "variant", "kind", "direction", "headline", "informative")
                }
                | {
                    "metric": metric,
                    "n_runs": len(pool.values),
                    "value": pool.value,
                    "value_low": low,
                    "value_high": high,
                    "value_sd": float(pool.values.std(ddof=1)) if len(pool.values) > 1 else float("nan"),
                    "scaled": scaled,
                    "low": scaled - half,
                    "high": scaled + half,
                    "rank": rank[0],
                    "rank_low": rank[1],
                    "rank_high": rank[2],
                    "coverage": len(part) / max(int(planned.get((*key[:3], variant), len(part))), 1),
                }
            )
    return pd.DataFrame(rows), pd.DataFrame(pairs), scores


def collect(
    plan_file: Path,
    datasets: list[dict[str, Any]],
    records: Path,
    scored: Path,
    trace: Path | None,
    versions: dict[str, Any],
    out: Path,
    fetched: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Write the tables of the results into `out` and return them.

    Parameters
    ----------
    plan_file
        plan.csv.
    datasets
        Cards of VALIDATE.
    records
        Folder with one folder a run.
    scored
        Folder with one folder a scored group.
    trace
        Nextflow's trace, or None.
    versions
        Versions and parameters, for the report.
    out
        Folder to write to.
    fetched
        Folder with one receipt for each file of fetched weights, or None.
    """
    plan = contract_tables.frame(
        "plan", pd.read_csv(plan_file, keep_default_na=False, dtype={"dataset": str, "model": str})
    )
    plan = plan.fillna("")
    verdicts: dict[str, dict] = {}
    for path in sorted(scored.glob("*/verdicts.json")):
        verdicts |= json.loads(path.read_text())
    runs = runs_table(plan, records, verdicts, trace, fetched)
    cost = runs.set_index("run_id")["cpu_s"].astype(float)
    upstream = plan.set_index("run_id")["needs"].map(cost).reindex(runs["run_id"]).fillna(0.0)
    runs["total_cpu_s"] = runs["cpu_s"].astype(float) + upstream.to_numpy()
    values = _concat(scored, "values", ["run_id", "metric", "value", "unit", "n_units", "df"])
    values = values.merge(plan[columns("plan")[:10]], on="run_id")
    replicates = _concat(scored, "replicates", columns("replicates"))
    measured = _concat(scored, "anchors", [*_GROUP, "metric", "anchor", "repetition", "value"])
    # Scored in chunks, each chunk of a group has measured the same anchors.
    measured = measured.drop_duplicates([*_GROUP, "metric", "anchor", "repetition"])
    rows: list[dict[str, Any]] = []
    for (dataset, task, split, _seed), group in values.groupby([*_GROUP, "split_seed"], sort=False):
        here = (measured["dataset"] == dataset) & (measured["task"] == task) & (measured["split"] == split)
        rows += _group_scores(group, replicates[replicates["run_id"].isin(group["run_id"])], measured[here])
    tables = {"runs": runs, "plan": plan}
    if rows:
        tables["summary"], tables["differences"], tables["scores"] = _summary(pd.DataFrame(rows), replicates, runs)
    else:
        tables |= {name: pd.DataFrame(columns=columns(name)) for name in ("summary", "differences", "scores")}
    for name in ("units", "replicates", "findings", "layout", "confusion", "per_class"):
        tables[name] = _concat(scored, name, columns(name))
    small = {"scores", "summary", "runs", "plan", "differences", "findings"}
    for name, table in tables.items():
        tables[name] = contract_tables.write(name, out, table, csv=name in small)
    cards = [
        {k: v for k, v in card.items() if k not in ("gene_symbols", "ensembl_ids", "sheet_row")} for card in datasets
    ]
    (out / "datasets.json").write_text(json.dumps(cards, indent=1) + "\n")
    (out / "versions.json").write_text(json.dumps(versions | _environment(), indent=1) + "\n")
    return tables


def _environment() -> dict[str, Any]:
    """Return versions of what this step runs with."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import PackageNotFoundError, version

    packages = {}
    for name in ("numpy", "scipy", "pandas", "h5py", "igraph", "torch", "anndata", "scikit-learn", "harmonypy", "scib"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "schema": contract_tables.RESULTS_VERSION,
        "sceval": version("sceval"),
        "python": platform.python_version(),
        "packages": packages,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
