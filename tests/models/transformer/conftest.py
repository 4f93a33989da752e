"""The toy transformer with a checkpoint, and its sessions on made-up cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny tensors gain nothing from threads, and wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Made:
    """Cells of three classes with marker genes, and a checkpoint that knows the genes."""

    def __init__(self, folder: Path, n: int = 60, g: int = 30, seed: int = 0) -> None:
        from toy import checkpoint
        from toy.program import MODEL

        from sceval.data.genes import Genes

        rng = np.random.default_rng(seed)
        self.model, self.folder = MODEL, folder
        self.classes = np.arange(n) % 3
        rate = np.where(np.arange(g)[None, :] % 3 == self.classes[:, None], 6.0, 0.5)
        self.counts = sp.csr_matrix(rng.poisson(rate * rng.lognormal(0, 0.3, (n, 1))).astype(np.float32))
        self.labels = np.where(np.arange(n) < 45, self.classes, -1)
        self.genes = Genes.from_symbols([f"GENE{i}" for i in range(g)])
        self.cells = [f"cell{i:03d}" for i in range(n)]
        settings = MODEL.settings("embed-cells", "scratch", {}, "cpu")
        made = checkpoint.new(self.genes, settings, seed)
        checkpoint.save(folder, made.network, made.vocabulary)

    def session(self, verb="embed-cells", regime="zero_shot", rows=None, columns=None, seed=0, **given):
        from sceval.data.genes import Genes
        from sceval.models.transformer.session import Session

        rows = np.arange(len(self.cells)) if rows is None else np.asarray(rows)
        columns = np.arange(len(self.genes)) if columns is None else np.asarray(columns)
        return Session.of_arrays(
            self.model,
            verb,
            regime,
            self.counts[rows][:, columns],
            Genes.from_symbols([self.genes.symbols[i] for i in columns]),
            [self.cells[i] for i in rows],
            weights=None if regime == "scratch" else self.folder,
            given=given,
            seed=seed,
        )


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "weights")


@pytest.fixture
def call(tmp_path, made):
    """Call the toy's program on a view."""
    from click.testing import CliRunner
    from toy.program import main

    from sceval.contract.h5ad import write

    def run(verb, regime, view, params=None, weights=True, seed=0):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write(folder / "view.h5ad", view)
        output = folder / ("out.parquet" if verb == "classify-genes" else "out.h5ad")
        options = ["--view", str(folder / "view.h5ad"), "--output", str(output), "--regime", regime]
        options += ["--params", json.dumps(params or {}), "--device", "cpu", "--seed", str(seed)]
        options += ["--weights", str(made.folder)] if weights and regime != "scratch" else []
        result = CliRunner().invoke(main, [verb, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        result.output_path = output
        result.facts = json.loads((folder / "facts.json").read_text()) if (folder / "facts.json").exists() else None
        return result

    return run
