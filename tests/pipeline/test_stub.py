"""The whole graph with stubs: wiring alone, no Python and no image needed."""

from __future__ import annotations

from pipelines import Pipeline


def test_the_graph_is_wired(pipeline: Pipeline) -> None:
    run = pipeline("-profile", "test", "-stub-run")
    assert run.code == 0, run.text[-3000:]
    processes = {process for process, _status in run.tasks()}
    assert processes == {"VALIDATE", "INFO", "PLAN", "PREPARE", "EMBED", "RUN", "SCORE", "COLLECT", "REPORT"}
    assert {status for _process, status in run.tasks()} == {"COMPLETED"}
    assert (run.outdir / "report.html").is_file()
