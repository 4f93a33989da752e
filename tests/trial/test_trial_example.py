"""The worked example of docs/add-a-model.md, and what the trial says of programs made of it that break the contract."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view
from sceval import contract
from sceval.cli.main import main
from sceval.contract import h5ad
from sceval.data.sheets import MODELS
from sceval.trial import alone
from sceval.trial.programs import Program
from sceval.trial.run import Trial

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "add-a-model"
PROGRAM = EXAMPLE / "projection.py"


@pytest.fixture
def program(tmp_path):
    """Return a function that makes a program of the example with one line replaced."""

    def make(old: str = "", new: str = "") -> list[str]:
        text = PROGRAM.read_text()
        assert old in text
        path = tmp_path / "program.py"
        path.write_text(text.replace(old, new, 1) if old else text)
        return [sys.executable, str(path)]

    return make


@pytest.fixture
def found(tmp_path):
    """Return a function that tries a command and gives back its checks: (name, result) -> sentence."""

    def run(command, limit_s=60.0, **options):
        folder = tmp_path / "trial"
        folder.mkdir()
        checks = Trial(Program(command, limit_s), folder, **options).run()
        return {(check.check, check.result): check.detail for check in checks}

    return run


def bad(checks):
    return {name: detail for (name, result), detail in checks.items() if result == "FAIL"}


def test_the_example_passes_its_trial(found, program):
    checks = found(program())
    assert bad(checks) == {}
    assert checks["complete", "pass"] == "200 cells x 32 values"
    assert checks["order of cells", "pass"] == checks["same seed", "pass"]
    assert checks["no network call", "pass" if alone.allowed() else "skip"]
    assert checks["batch size", "skip"] == "not checked: info declares no parameter batch_size"


def test_the_example_shares_no_code_with_us_and_may_be_started_as_it_is():
    text = PROGRAM.read_text()
    assert "import sceval" not in text
    assert "from sceval" not in text
    assert PROGRAM.stat().st_mode & stat.S_IXUSR
    assert len(text.splitlines()) < 90


def test_its_output_is_the_projection_of_log_counts(tmp_path):
    view = make_view(n=30)
    h5ad.write(tmp_path / "view.h5ad", view)
    options = ["--view", "view.h5ad", "--output", "output.h5ad", "--params", '{"width": 5}', "--seed", "3"]
    subprocess.run([sys.executable, PROGRAM, "embed-cells", *options], check=True, cwd=tmp_path)
    cells = contract.read("cell_embedding", tmp_path / "output.h5ad")
    assert list(cells.obs_names) == list(view.obs_names)
    assert cells.obsm["X_emb"].shape == (30, 5)
    # Linear in log counts: the same linear map explains every cell.
    counts = view.X.toarray().astype(float)
    logs = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    weights = np.linalg.lstsq(logs, cells.obsm["X_emb"], rcond=None)[0]
    np.testing.assert_allclose(logs @ weights, cells.obsm["X_emb"], atol=1e-3)
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_it_says_why_it_is_not_applicable(tmp_path):
    view = make_view()
    view.uns["sceval"]["matrix"] = "lognorm"
    h5ad.write(tmp_path / "view.h5ad", view)
    options = ["--view", "view.h5ad", "--output", "output.h5ad"]
    done = subprocess.run(
        [sys.executable, PROGRAM, "embed-cells", *options], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 99
    assert done.stderr.strip() == "a random projection of log counts needs counts"
    assert not (tmp_path / "output.h5ad").exists()


def test_its_row_fits_the_models_sheet():
    with (EXAMPLE / "models.csv").open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert set(row) <= {column.name for column in MODELS}
    assert set(row) >= {column.name for column in MODELS if column.required}
    info = json.loads(subprocess.run([sys.executable, PROGRAM, "info"], capture_output=True, check=True).stdout)
    assert row["model"] == info["name"]
    assert row["image"] == f"{info['name']}:{info['version']}"
    assert row["program"] == PROGRAM.name
    assert set(json.loads(row["params"])) <= set(info["params"])


def test_its_image_needs_no_entry_point():
    lines = (EXAMPLE / "Dockerfile").read_text().splitlines()
    words = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert words[:2] == ["ARG", "FROM"]
    assert "ENTRYPOINT" not in words
    assert any("/usr/local/bin/sceval-model" in line for line in lines)
    pins = (EXAMPLE / "requirements.txt").read_text().split()
    assert sorted(pin.split("==")[0] for pin in pins) == ["h5py", "numpy"]


RUN = "        write(args.output, *embed("
WIDTH = 'params["width"], int(args.seed or 0)))'
BATCHED = (
    '"params": {"width"',
    '"params": {"batch_size": {"type": "integer", "default": 50, "description": "Cells."}, "width"',
    "return cells, out",
    'size = json.loads(Path("in/params.json").read_text()).get("batch_size", 50)\n'
    "    return cells, out - out[np.argsort(cells)][:size].mean(axis=0) * 0.1",
)

BROKEN = {
    "not JSON": ("print(json.dumps(INFO))", 'print("hello")', "runs", "it printed text that is not JSON"),
    "no version": ('"version": "1.0.0",', "", "runs", ": 'version' is a required property"),
    "unknown verb": ('"verbs": ["embed-cells"]', '"verbs": ["embedd"]', "runs", "verbs/0: 'embedd' is not one of"),
    "no regime": ('{"embed-cells": ["scratch", "probe"]}', "{}", "runs", "info lists no regime for it"),
    "crash": (RUN, "        raise RuntimeError('no luck')\n" + RUN, "runs", "exit code 1: RuntimeError: no luck"),
    "no output": ('    Path(path + ".part").replace(path)', "    pass", "contract", "output.h5ad: found no such file"),
    "wrong type": (", width), np.float32)", ", width))", "contract", "float64; expected dense"),
    "transposed": ("return cells, out", "return cells, out.T", "contract", "32 x 200 (transposed?); expected 200 rows"),
    "dropped": ("return cells, out", "return cells[:190], out[:190]", "complete", "10 of 200 cells are absent"),
    "other cells": ("return cells, out", 'return "x" + cells, out', "complete", "200 cells of no id in the view"),
    "permuted": ("return cells, out", "return np.sort(cells), out", "order of cells", "standard deviations"),
    "NaN": ("return cells, out", "out[5, 2] = np.nan; return cells, out", "finite", "1 of 200 cells have NaN"),
    "constant": ("return cells, out", "return cells, np.ones_like(out)", "varies", "constant output"),
    "another seed": ("[seed, zlib.crc32(gene.encode())]", "None", "same seed", "standard deviations"),
    "changed view": (
        RUN,
        "        open(args.view, 'ab').write(b'x')\n" + RUN,
        "inputs unchanged",
        "was changed",
    ),
    "removed view": (WIDTH, WIDTH + "\n    Path(args.view).unlink()", "inputs unchanged", "in/view.h5ad is gone"),
    "beside": (RUN, "        open('log.txt', 'w')\n" + RUN, "no stray files", "working folder: log.txt is new"),
    "HOME": (RUN, "        open(Path.home() / 'a', 'w')\n" + RUN, "no stray files", "HOME: a is new"),
    "TMPDIR": (RUN, "        __import__('tempfile').mkstemp('left')\n" + RUN, "no stray files", "left is new"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_program_that_breaks_the_contract_is_found_out(found, program, fault):
    old, new, name, message = BROKEN[fault]
    told = bad(found(program(old, new)))
    assert message in told.get(name, ""), told


def test_a_call_of_the_network_is_seen_though_the_program_bears_its_failure(found, program):
    call = "        try: __import__('socket').create_connection(('192.0.2.1', 80), 0.2)\n        except OSError: pass\n"
    checks = found(program(RUN, call + RUN))
    if alone.allowed():
        assert set(bad(checks)) == {"no network call"}
        assert "tried to leave the machine" in checks["no network call", "FAIL"]
    else:
        assert "not checked" in checks["no network call", "skip"]


def test_the_loopback_of_a_program_works_and_is_no_network_call(found, program):
    call = "        s = __import__('socket').create_server(('127.0.0.1', 0))\n"
    call += "        __import__('socket').create_connection(s.getsockname(), 1)\n"
    assert bad(found(program(RUN, call + RUN))) == {}


def test_a_cache_below_home_is_nobodys_fault(found, program):
    call = "        (Path.home() / '.cache').mkdir()\n        open(Path.home() / '.cache' / 'fonts', 'w')\n"
    assert bad(found(program(RUN, call + RUN))) == {}


def test_dependence_on_the_batch_size_alone_is_told_as_such(found, program):
    path = Path(program(*BATCHED[:2])[1])
    path.write_text(path.read_text().replace(*BATCHED[2:]))
    told = bad(found([sys.executable, str(path)]))
    assert set(told) == {"batch size"}


def test_a_program_that_hangs_is_ended(found, program):
    told = bad(found(program(RUN, "        __import__('time').sleep(60)\n" + RUN), limit_s=2.0))
    assert "end within" in told["runs"]


def test_changed_weights_are_seen(found, program, tmp_path):
    weights = tmp_path / "weights"
    weights.mkdir()
    checks = found(program(RUN, "        (Path(args.weights) / 'index').touch()\n" + RUN), weights=weights)
    assert set(bad(checks)) == {"inputs unchanged"}
    assert checks["inputs unchanged", "FAIL"].startswith("weights: index is new")


def test_a_verb_that_is_not_applicable_is_told_with_its_reason(found, program):
    checks = found(program('!= "counts"', '== "counts"'))
    assert bad(checks) == {}
    told = "scratch: not applicable (exit 99): a random projection of log counts needs counts"
    assert checks["runs", "skip"] == told


def test_the_command_line_tells_good_from_bad(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # has h5py and NumPy
    done = CliRunner().invoke(main, ["validate-model", str(PROGRAM)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0].split() == [
        "pass",
        "info",
        "runs",
        "projection",
        "1.0.0,",
        "verbs",
        "embed-cells",
    ]
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no\n")
    broken.chmod(0o755)
    done = CliRunner().invoke(main, ["validate-model", str(broken), "--json"])
    assert done.exit_code == 1
    told = json.loads(done.output)
    assert not told["ok"]
    assert told["checks"][0]["detail"].startswith("it printed text that is not JSON")


def test_a_row_of_the_sheet_gives_program_parameters_and_verbs(tmp_path, monkeypatch):
    (tmp_path / "projection.py").write_text(PROGRAM.read_text())
    (tmp_path / "projection.py").chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{tmp_path}{os.pathsep}{os.environ['PATH']}")
    row = {"model": "mine", "image": "mine:1", "program": "projection.py", "params": '{"width": 3}', "verbs": ""}
    with (tmp_path / "models.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(row))
        writer.writeheader()
        writer.writerow(row)
    done = CliRunner().invoke(main, ["validate-model", "mine", "--sheet", str(tmp_path / "models.csv")])
    assert done.exit_code == 0, done.output
    assert "200 cells x 3 values" in done.output
    done = CliRunner().invoke(
        main, ["validate-model", "mine", "--sheet", str(tmp_path / "models.csv"), "--verbs", "impute"]
    )
    assert done.exit_code == 1
    assert "info does not declare it" in done.output
    done = CliRunner().invoke(main, ["validate-model", "nothing-of-that-name"])
    assert "no such row or program" in done.output
