"""Runs a model program in-process, the way the pipeline runs it from a shell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from sceval import contract
from sceval.contract import CellFile
from sceval.contract.h5ad import write


@dataclass
class Call:
    """What came of one call: exit code, standard error, and the files where there are any."""

    code: int
    stderr: str
    output: Path

    @property
    def cells(self) -> CellFile:
        return contract.read("annotation" if self.verb == "annotate" else "cell_embedding", self.output)

    @property
    def facts(self) -> dict:
        return json.loads(self.output.with_name("facts.json").read_text())

    verb: str = ""


@pytest.fixture
def call(tmp_path):
    """Return `call(model, verb, view, params={}, seed=0, regime="scratch")`."""
    count = iter(range(1000))

    def run(model: str, verb: str, view: CellFile, params: dict | str | None = None, seed: int = 0, regime="scratch"):
        folder = tmp_path / f"call{next(count)}"
        folder.mkdir()
        write(folder / "view.h5ad", view)
        text = params if isinstance(params, str) else json.dumps(params or {})
        output = folder / "out" / "output.h5ad"
        options = ["--view", str(folder / "view.h5ad"), "--output", str(output), "--regime", regime]
        main = import_module(f"sceval.models.{model}.program").main
        result = CliRunner().invoke(main, [verb, *options, "--params", text, "--seed", str(seed)])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Call(result.exit_code, result.stderr, output, verb)

    return run
