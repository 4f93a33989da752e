"""The worked example of docs/add-a-model.md, and what the trial says of programs that break the contract."""

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

from helpers import make_view
from sceval import contract
from sceval.contract import h5ad, trial
from sceval.data.sheets import MODELS

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
    """Return a function that tries a command and gives back (bad findings, good findings)."""

    def run(command):
        folder = tmp_path / "trial"
        folder.mkdir()
        out = list(trial.trial(command, folder))
        return [text for well, text in out if not well], [text for well, text in out if well]

    return run


def test_the_example_passes_its_trial(found, program):
    bad, good = found(program())
    assert bad == []
    assert any("output is right for 90 cells, 32 columns" in text for text in good)
    assert any("in another order" in text for text in good)


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


BROKEN = [
    ("print(json.dumps(INFO))", 'print("hello")', "info printed text that is not JSON"),
    ('"version": "1.0.0",', "", "info : 'version' is a required property"),
    ('"verbs": ["embed-cells"]', '"verbs": ["embedd"]', "info verbs/0: 'embedd' is not one of"),
    ('{"embed-cells": ["scratch", "probe"]}', "{}", "embed-cells: info lists no regime for it"),
    (
        "out = np.zeros((len(cells), width), np.float32)",
        "out = np.zeros((len(cells), width))",
        "float64; expected dense",
    ),
    ("return cells, out", "return cells, out.T", "32 x 90 (transposed?); expected 90 rows"),
    ("return cells, out", "return cells[:80], out[:80]", "10 of 90 cells are absent from the output"),
    ("return cells, out", "return np.sort(cells), out", "standard deviations with cells and genes in another order"),
    ("return cells, out", "return cells, np.ones_like(out)", "values differ between cells (standard deviation 0)"),
    ("[seed, zlib.crc32(gene.encode())]", "None", "standard deviations with the same seed"),
    ('    Path(path + ".part").replace(path)', "    pass", "output.h5ad: found no such file"),
    (
        '    X = view["X"]',
        "    raise RuntimeError('no luck')\n    X = view[\"X\"]",
        "exit code 1: RuntimeError: no luck",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_program_that_breaks_the_contract_is_found_out(found, program, old, new, message):
    bad, _ = found(program(old, new))
    assert any(message in text for text in bad), bad


def test_a_verb_that_is_not_applicable_is_told_with_its_reason(found, program):
    bad, good = found(program('!= "counts"', '== "counts"'))
    assert bad == []
    assert "embed-cells (scratch): not applicable (exit 99): a random projection of log counts needs counts" in good


def test_the_command_line_tells_good_from_bad(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # has h5py and NumPy
    assert trial.main([str(PROGRAM)]) == 0
    assert capsys.readouterr().out.startswith("ok  info: projection 1.0.0")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no\n")
    broken.chmod(0o755)
    assert trial.main([str(broken)]) == 1
    assert capsys.readouterr().out.startswith("BAD info printed text that is not JSON")


def test_an_image_is_run_as_the_pipeline_runs_it():
    command = trial.docker_command("projection:1.0.0", Path("/data"))
    assert command[:3] == ["docker", "run", "--rm"]
    assert "none" in command
    assert command[-2:] == ["projection:1.0.0", "sceval-model"]
