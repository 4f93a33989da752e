"""Every planned run ends with a status, whatever became of it."""

from __future__ import annotations

import json

import pytest

from sceval.planning.statuses import Statuses, cost_card, read_receipts, read_record, read_trace

TRACE = """task_id\tname\tstatus\texit
1\tSCEVAL:VALIDATE (sheet)\tCOMPLETED\t0
2\tSCEVAL:PREPARE (d.t.intra0)\tCOMPLETED\t0
3\tSCEVAL:PREPARE (bad-1.t.intra0)\tFAILED\t1
4\tSCEVAL:RUN (lost)\tFAILED\t137
5\tSCEVAL:RUN (lost)\tFAILED\t137
6\tSCEVAL:EMBED (shared)\tFAILED\t-
7\tSCEVAL:SCORE (d.t.intra0)\tFAILED\t1
"""


def _row(run_id: str = "r", **columns) -> dict:
    row = {"run_id": run_id, "dataset": "d", "task": "t", "split": "intra", "split_seed": 0, "status": "planned"}
    return row | {"reason": "", "needs": "", "output_of": run_id} | columns


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "trace.txt"
    path.write_text(TRACE)
    return read_trace(path)


def test_attempts_are_read_by_process_and_tag(trace, tmp_path):
    assert [row["exit"] for row in trace["RUN lost"]] == ["137", "137"]
    assert trace["RUN shared"][0]["status"] == "FAILED"  # EMBED is RUN under another name
    assert read_trace(None) == {}
    assert read_trace(tmp_path / "absent") == {}


def test_what_the_plan_decided_stays():
    statuses = Statuses({}, {}, {})
    assert statuses.of(_row(status="not_applicable", reason="why")) == ("not_applicable", "why")
    assert statuses.of(_row(status="failed", reason="error: no answer")) == ("failed", "error: no answer")


def test_weights_that_could_not_be_fetched_are_the_reason(tmp_path):
    for name, weights, ok, reason in (("a", "w", True, ""), ("b", "w", False, "no such page"), ("c", "v", True, "")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"weights": weights, "ok": ok, "reason": reason}))
    fetched = read_receipts(tmp_path)
    assert fetched == {"w": "no such page", "v": ""}
    assert read_receipts(None) == {}
    lost = {"FETCH_WEIGHTS u/model.bin": [{"status": "FAILED", "exit": "137"}]}
    statuses = Statuses({}, {}, lost, fetched)
    assert statuses.of(_row(weights="w")) == ("not_run", "its weights w could not be fetched: no such page")
    assert "weights u could not be fetched: its task ended with exit status 137" in statuses.of(_row(weights="u"))[1]
    assert "weights" not in statuses.of(_row(weights="v"))[1]
    assert "weights" not in statuses.of(_row(weights=""))[1]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("not_applicable", "needs a batch"),
        ("failed", "out_of_memory: killed at its limit of 2000 MB"),
        ("failed", "time_limit: 3600 s"),
        ("failed", "error: exit code 1 (boom)"),
        ("failed", "bad_output: the program ended with 0 and wrote no output.h5ad"),
    ],
)
def test_the_record_says_what_became_of_the_run(status, reason):
    assert Statuses({"r": {"status": status, "reason": reason}}, {}, {}).of(_row()) == (status, reason)


def test_scoring_has_the_last_word(trace):
    done = {"r": {"status": "ok", "reason": ""}}
    assert Statuses(done, {"r": {"ok": True, "reason": ""}}, trace).of(_row()) == ("ok", "")
    refused = {"r": {"ok": False, "reason": "bad_output: constant"}}
    assert Statuses(done, refused, trace).of(_row()) == ("failed", "bad_output: constant")
    status, reason = Statuses(done, {}, trace).of(_row())
    assert status == "failed"
    assert "its scoring left no result (its task ended with exit status 1 at attempt 1" in reason
    chunked = {"SCORE d.t.intra0.0": [{"status": "COMPLETED", "exit": "0"}]}
    assert "exit status" not in Statuses(done, {}, chunked).of(_row())[1]
    chunked["SCORE d.t.intra0.1"] = [{"status": "FAILED", "exit": "137"}]
    assert "exit status 137" in Statuses(done, {}, chunked).of(_row())[1]
    assert Statuses(done, {}, {}).of(_row())[1] == "error: the run is done but its scoring left no result"
    assert Statuses(done, {}, trace).of(_row(output_of="")) == ("ok", "")  # made for others: not scored itself


def test_a_lost_record_is_told_from_the_trace(trace):
    assert Statuses({}, {}, trace).of(_row("lost")) == (
        "failed",
        "error: its task ended with exit status 137 at attempt 2 and left no record",
    )


def test_runs_that_never_started_say_why(trace):
    statuses = Statuses({"need": {"status": "failed", "reason": "error: boom"}}, {}, trace)
    statuses.of(_row("need", output_of=""))
    assert statuses.of(_row(needs="need")) == ("not_run", "needs need, which is failed (error: boom)")
    status, reason = statuses.of(_row(dataset="bad.1"))
    assert status == "not_run"
    assert reason.startswith("its view could not be prepared: its task ended with exit status 1")
    assert statuses.of(_row("other")) == ("not_run", "the pipeline ended before it started")


def test_a_needed_run_that_was_lost_is_named_too(trace):
    statuses = Statuses({}, {}, trace)
    assert statuses.of(_row("shared", output_of=""))[0] == "failed"
    status, reason = statuses.of(_row("probe", needs="shared"))
    assert status == "not_run"
    assert "needs shared, which is failed" in reason


RECORD = {"run_id": "r", "status": "ok", "reason": "", "attempt": 2, "wall_s": 3.5, "cpu_s": 2.0, "peak_rss_mb": 100}


def _write(tmp_path, text: str):
    path = tmp_path / "run.json"
    path.write_text(text)
    return read_record(path)


def test_records_whose_facts_are_no_json_keep_their_cost(tmp_path):
    head = json.dumps(RECORD, indent=0).rstrip("}\n")
    record = _write(tmp_path, head + ',\n"program": {"warnings": [oops}\n}\n')
    assert (record["status"], record["wall_s"]) == ("ok", 3.5)
    assert "facts.json is not JSON" in cost_card(record)["warnings"]
    assert read_record(tmp_path / "absent.json") is None


def test_a_record_cut_short_is_a_failed_run(tmp_path):
    record = _write(tmp_path, '{"run_id": "r", "sta')
    status, reason = Statuses({"r": record}, {}, {}).of(_row())
    assert status == "failed"
    assert "run.json cannot be read" in reason
    assert cost_card(record)["wall_s"] is None


def test_the_cost_card_takes_facts_as_they_come():
    facts = {
        "cells_per_s": float("nan"), "genes_recognised": 0.5, "version": 2, "device": "cpu", "peak_gpu_mb": 12,
        "warnings": ["a", "b"], "weights_sha256": "abc",
    }  # fmt: skip
    card = cost_card(RECORD | {"program": facts, "peak_gpu_mb": None})
    assert card["cells_per_s"] is None
    assert (card["genes_recognised"], card["version"], card["peak_gpu_mb"]) == (0.5, "2", 12)
    assert (card["warnings"], card["attempts"], card["peak_rss_mb"]) == ("a | b", 2, 100)
    assert cost_card(RECORD | {"program": facts, "peak_gpu_mb": 7})["peak_gpu_mb"] == 7  # measured from outside
    wrong = cost_card(RECORD | {"program": {"cells_per_s": "fast", "warnings": "one sentence"}})
    assert wrong["cells_per_s"] is None
    assert (
        wrong["warnings"] == "one sentence | the program's facts.json gives cells_per_s as 'fast', which is no number"
    )
    assert set(cost_card(None)) == set(card)
    assert set(cost_card(None).values()) == {None}
