"""What became of each planned run: from its record, the scoring, or Nextflow's trace where there is no record."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from sceval.data.sheets import file_name

_CARD = ("wall_s", "cpu_s", "peak_rss_mb", "peak_gpu_mb", "joules", "gpu")


def read_record(path: Path) -> dict[str, Any] | None:
    """Read run.json; None where there is none.

    Where the program's own facts in it are not JSON, the rest of it is read; where that is not JSON either, it stands
    for a failed run.
    """
    if not path.is_file():
        return None
    text = path.read_text(errors="replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        head = text.split('"program":', 1)[0].rstrip().rstrip(",")
    try:
        return json.loads(head + "}") | {"program": {"warnings": ["the program's facts.json is not JSON"]}}
    except json.JSONDecodeError as error:
        return {"status": "failed", "reason": f"error: its run.json cannot be read ({error})"}


def read_trace(path: Path | None) -> dict[str, list[dict[str, str]]]:
    """Return the attempts of each task by its tag, in order; empty without a trace."""
    attempts: dict[str, list[dict[str, str]]] = {}
    if path is None or not path.is_file():
        return attempts
    with path.open(newline="") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            found = re.search(r"(\w+) \((.+)\)$", row.get("name", ""))
            if found:
                process = "RUN" if found[1] == "EMBED" else found[1]
                attempts.setdefault(f"{process} {found[2]}", []).append(row)
    return attempts


def read_receipts(folder: Path | None) -> dict[str, str]:
    """Return why weights could not be fetched: name -> reason, empty where all of its files came."""
    reasons: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")) if folder else ():
        receipt = json.loads(path.read_text())
        reason = "" if receipt["ok"] else receipt["reason"]
        reasons[receipt["weights"]] = reasons.get(receipt["weights"]) or reason
    return reasons


def _lost(attempts: list[dict[str, str]]) -> str:
    last = attempts[-1]
    code = last.get("exit", "-")
    return f"error: its task ended with exit status {code} at attempt {len(attempts)} and left no record"


def _view_id(row: dict[str, Any]) -> str:
    return file_name(row["dataset"]) + f".{row['task']}.{row['split']}{row['split_seed']}"


class Statuses:
    """Decides the status of every row of the plan.

    Parameters
    ----------
    records
        Run id -> run.json.
    verdicts
        Run id -> what the scoring said.
    trace
        Attempts by process and tag, see `read_trace`.
    fetched
        Why weights could not be fetched, see `read_receipts`.
    """

    def __init__(
        self,
        records: dict[str, dict],
        verdicts: dict[str, dict],
        trace: dict[str, list[dict[str, str]]],
        fetched: dict[str, str] | None = None,
    ) -> None:
        self.records, self.verdicts, self.trace, self.fetched = records, verdicts, trace, fetched or {}
        self.done: dict[str, tuple[str, str]] = {}

    def of(self, row: dict[str, Any]) -> tuple[str, str]:
        """Return (status, reason) of a row; rows that others need must be asked for first."""
        status = self._of(row)
        self.done[row["run_id"]] = status
        return status

    def _of(self, row: dict[str, Any]) -> tuple[str, str]:
        if row["status"] != "planned":
            return row["status"], row["reason"]
        run_id = row["run_id"]
        record = self.records.get(run_id)
        if record is None:
            return self._without_record(row)
        if record["status"] != "ok":
            return record["status"], record["reason"]
        if not row["output_of"]:
            return "ok", ""
        verdict = self.verdicts.get(run_id)
        if verdict is None:
            return "failed", f"error: the run is done but its scoring left no result{self._lost_scoring(row)}"
        return ("ok", "") if verdict["ok"] else ("failed", verdict["reason"])

    def _lost_scoring(self, row: dict[str, Any]) -> str:
        """Return how the scoring of its group, or of a chunk of it, failed; empty where the trace does not say."""
        tag = f"SCORE {_view_id(row)}"
        for name, attempts in self.trace.items():
            if (name == tag or name.startswith(f"{tag}.")) and attempts[-1].get("status") == "FAILED":
                return f" ({_lost(attempts).removeprefix('error: ')})"
        return ""

    def _not_fetched(self, weights: str) -> str:
        """Return why weights are not there; empty where nothing says that they are missing."""
        if self.fetched.get(weights):
            return self.fetched[weights]
        lost = [
            attempts
            for name, attempts in self.trace.items()
            if weights and name.startswith(f"FETCH_WEIGHTS {weights}/") and attempts[-1].get("status") == "FAILED"
        ]
        return _lost(lost[0]).removeprefix("error: ") if lost else ""

    def _without_record(self, row: dict[str, Any]) -> tuple[str, str]:
        needs = row["needs"]
        if needs and self.done.get(needs, ("ok", ""))[0] != "ok":
            status, reason = self.done[needs]
            return "not_run", f"needs {needs}, which is {status} ({reason})"
        attempts = self.trace.get(f"RUN {row['run_id']}")
        if attempts:
            return "failed", _lost(attempts)
        if reason := self._not_fetched(row.get("weights") or ""):
            return "not_run", f"its weights {row['weights']} could not be fetched: {reason}"
        prepared = self.trace.get(f"PREPARE {_view_id(row)}", [])
        if prepared and prepared[-1].get("status") == "FAILED":
            return "not_run", f"its view could not be prepared: {_lost(prepared).removeprefix('error: ')}"
        return "not_run", "the pipeline ended before it started"


def cost_card(record: dict[str, Any] | None) -> dict[str, Any]:
    """Return the columns of the runs table that come from a record; what a program tells of itself may be anything."""
    empty = dict.fromkeys(
        (*_CARD, "cells_per_s", "genes_recognised", "version", "device", "weights_sha256", "warnings")
    )
    if record is None:
        return empty | {"attempts": None}
    facts = record.get("program") or {}
    card = {name: record.get(name) for name in _CARD}
    warnings = facts.get("warnings") or []
    warnings = [str(line) for line in warnings] if isinstance(warnings, list) else [str(warnings)]
    for name in ("cells_per_s", "genes_recognised", "peak_gpu_mb"):
        value = facts.get(name)
        if isinstance(value, (int, float)):
            if card.get(name) is None and np.isfinite(value):
                card[name] = float(value)
        elif value is not None:
            warnings.append(f"the program's facts.json gives {name} as {value!r}, which is no number")
        card.setdefault(name)
    for name in ("version", "device", "weights_sha256"):
        card[name] = None if facts.get(name) is None else str(facts[name])
    card["warnings"] = " | ".join(warnings) or None
    return card | {"attempts": record.get("attempt")}
