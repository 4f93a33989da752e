"""The programs of both models on made-up cells, in-process."""

from __future__ import annotations

import json
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view, reorder, true_types
from sceval import contract
from sceval.contract.h5ad import write
from sceval.data.genes import Genes

SMALL = {"dim": 16, "depth": 2, "heads": 2, "dim_head": 8, "n_features": 12, "head_width": 16}
TRAIN = {**SMALL, "epochs": 5, "lr": 0.005, "batch_size": 4}
#: A narrow classifier behind ReLUs may be dead from the start.
WIDER = {**TRAIN, "dim": 32, "dim_head": 16, "head_width": 64}


@pytest.fixture
def run(model, tmp_path):
    """Call the program on a view; ``weights=True`` gives a saved random network that knows its genes."""
    main = import_module(f"sceval.models.{model.name}.program").main

    def call(verb, regime, view, params=None, seed=0, genes=None):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write(folder / "view.h5ad", view)
        output = folder / "output.h5ad"
        options = ["--view", str(folder / "view.h5ad"), "--output", str(output), "--regime", regime, "--device", "cpu"]
        options += ["--params", json.dumps(params or {}), "--seed", str(seed)]
        weights = tmp_path / "weights"
        if regime != "scratch" and not weights.exists():
            known = Genes.from_symbols(view.var["gene_symbol"] if genes is None else genes)
            made = model.checkpoint.new(known, SMALL, 5)
            model.checkpoint.save(weights, made.network, made.vocabulary)
        options += ["--weights", str(weights)] if regime != "scratch" else []
        done = CliRunner().invoke(main, [verb, *options])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        kind = "annotation" if verb == "annotate" else "cell_embedding"
        cells = contract.read(kind, output) if done.exit_code == 0 else None
        facts = json.loads((folder / "facts.json").read_text()) if done.exit_code == 0 else {}
        return SimpleNamespace(code=done.exit_code, stderr=done.stderr, cells=cells, facts=facts, output=output)

    return call


def embedding(done):
    return dict(zip(done.cells.obs_names, done.cells.obsm["X_emb"], strict=True))


def probability(done):
    return done.cells.obsm["probability"]


def test_embedding_keeps_cells_and_depends_on_nothing_but_the_cell(run):
    view = make_view(30, 24, task="batch_integration")
    view.X[4] = 0
    view.X.eliminate_zeros()
    first = run("embed-cells", "zero_shot", view)
    assert first.code == 0, first.stderr
    vectors = embedding(first)
    assert list(vectors) == list(view.obs_names)
    empty = view.obs_names[4]
    assert np.isnan(vectors[empty]).all()
    assert first.facts["cells_without_known_gene"] == 1
    assert any("get no vector" in line for line in first.facts["warnings"])
    assert first.facts["genes_recognised"] == 1.0
    assert len(first.facts["weights_sha256"]) == 64
    order = np.random.default_rng(0).permutation(30)
    again = embedding(run("embed-cells", "probe", reorder(view, order, np.arange(24)[::-1]), {"batch_size": 7}))
    for name, vector in vectors.items():
        np.testing.assert_allclose(again[name], vector, atol=2e-6)


def test_pools_differ(run, model):
    view = make_view(12, 24, task="batch_integration")
    pools = {"scbert": ("all", "genes", "last"), "cellm": ("cls", "genes", "all")}[model.name]
    found = [embedding(run("embed-cells", "zero_shot", view, {"pool": pool})) for pool in pools]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert max(np.abs(found[i][name] - found[j][name]).max() for name in view.obs_names) > 1e-3


def test_genes_that_the_model_does_not_know(run):
    view = make_view(12, 24, task="batch_integration")
    done = run("embed-cells", "zero_shot", view, genes=[f"OTHER{i}" for i in range(24)])
    assert done.code == 99
    assert "recognises 0.0% of the 24 genes" in done.stderr.strip().splitlines()[-1]
    assert not done.output.exists()


def test_annotation_from_scratch_learns_and_repeats(run):
    view = make_view(80, 24)
    truth = dict(zip(view.obs_names, true_types(80, 3), strict=True))
    first = run("annotate", "scratch", view, WIDER)
    assert first.code == 0, first.stderr
    names = first.cells.obs_names
    assert np.mean([p == truth[n] for n, p in zip(names, first.cells.obs["prediction"], strict=True)]) > 0.6
    again = run("annotate", "scratch", reorder(view, np.arange(80)[::-1]), WIDER)
    both = dict(zip(again.cells.obs_names, probability(again), strict=True))
    np.testing.assert_allclose(np.array([both[n] for n in names]), probability(first), atol=1e-4)
    other = run("annotate", "scratch", view, WIDER, seed=1)
    assert np.abs(probability(other) - probability(first)).max() > 1e-4


@pytest.mark.parametrize(
    ("regime", "params", "trained"),
    [
        ("frozen", {"head": "linear"}, lambda all_, head, block: 16 * 3 + 3),
        ("frozen", {}, lambda all_, head, block: head),
        ("finetune", {}, lambda all_, head, block: head + block),
        ("finetune", {"lora_rank": 2}, lambda all_, head, block: head + 2 * 4 * 2 * (16 + 16)),
    ],
)
def test_regimes_train_what_they_say(run, model, regime, params, trained):
    view = make_view(40, 24)
    done = run("annotate", regime, view, {**TRAIN, "epochs": 1, **params})
    assert done.code == 0, done.stderr
    network = model.checkpoint.new(Genes.from_symbols(view.var["gene_symbol"]), SMALL, 0).network
    rule = network.finetune_rule()
    block = sum(p.numel() for name, p in network.named_parameters() if rule(name))
    head = sum(p.numel() for p in network.new_head(3, SMALL).parameters())
    whole = sum(p.numel() for p in network.parameters())
    assert done.facts["parameters_trained"] == trained(whole, head, block)
    assert np.isfinite(probability(done)).all()


def test_damaged_weights_are_told_and_nothing_is_written(run, model, tmp_path):
    view = make_view(12, 24, task="batch_integration")
    run("embed-cells", "zero_shot", view)
    path = tmp_path / "weights" / model.checkpoint.WEIGHTS[-1]
    main = import_module(f"sceval.models.{model.name}.program").main
    path.write_bytes(path.read_bytes()[:500])
    write(tmp_path / "view.h5ad", view)
    output = tmp_path / "never" / "output.h5ad"
    options = ["--view", str(tmp_path / "view.h5ad"), "--output", str(output), "--regime", "zero_shot"]
    done = CliRunner().invoke(main, ["embed-cells", *options, "--weights", str(tmp_path / "weights")])
    assert done.exit_code == 1
    assert "truncated" in done.stderr
    assert not output.exists()
    listed = CliRunner().invoke(main, ["genes", "--weights", str(tmp_path / "weights")])
    assert listed.output.split() == list(view.var["gene_symbol"])
