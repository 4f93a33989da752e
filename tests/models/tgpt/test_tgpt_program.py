"""The program: every verb and regime on a small checkpoint, invariance, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view, reorder
from sceval import contract
from sceval.contract.h5ad import write
from sceval.data.genes import Genes
from sceval.models.program import info_json
from sceval.models.tgpt.checkpoint import new, save
from sceval.models.tgpt.program import INFO, main

SIZE = {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_length": 16}
TINY = {**SIZE, "epochs": 2, "batch_size": 16, "lr": 0.01}


def view_of(verb):
    task = "cell_type_annotation" if verb == "annotate" else "batch_integration"
    return make_view(n=48, g=30, task=task)


@pytest.fixture
def run(tmp_path):
    """Call the program; regimes other than scratch get a checkpoint that knows 24 of the view's genes."""

    def call(verb, regime, *, view=None, params=None, seed=0):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        view = view_of(verb) if view is None else view
        write(folder / "view.h5ad", view)
        options = ["--view", str(folder / "view.h5ad"), "--output", str(folder / "out.h5ad"), "--regime", regime]
        options += ["--params", json.dumps({**TINY, **(params or {})}), "--device", "cpu", "--seed", str(seed)]
        if regime != "scratch":
            made = new(Genes.from_symbols([str(s) for s in view_of(verb).var["gene_symbol"]][:24]), SIZE, 3)
            save(folder / "weights", made.network, made.vocabulary)
            options += ["--weights", str(folder / "weights")]
        result = CliRunner().invoke(main, [verb, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        result.folder = folder
        return result

    return call


def vectors(result):
    assert result.exit_code == 0, result.stderr
    cells = contract.read("cell_embedding", result.folder / "out.h5ad")
    return dict(zip(cells.obs_names, cells.obsm["X_emb"], strict=True))


def test_info_is_valid_json_of_the_contract():
    import jsonschema

    shown = json.loads(CliRunner().invoke(main, ["info"]).output)
    jsonschema.validate(shown, contract.load("info"))
    assert shown == json.loads(json.dumps(info_json(INFO))) | {"lists_genes": True}


def test_embed_cells_does_not_depend_on_batch_size_order_or_neighbors(run):
    first = vectors(run("embed-cells", "zero_shot"))
    assert len(first) == 48
    view = view_of("embed-cells")
    order = np.random.default_rng(0).permutation(48)
    others = [
        vectors(run("embed-cells", "zero_shot", params={"batch_size": 1})),
        vectors(run("embed-cells", "probe", view=reorder(view, order))),
        vectors(run("embed-cells", "zero_shot", view=reorder(view, order[:9]), seed=4)),
    ]
    for other in others:
        for cell, value in other.items():
            np.testing.assert_allclose(value, first[cell], atol=1e-5)


def test_a_cell_without_a_known_gene_is_a_row_of_nan_with_a_warning(run):
    view = view_of("embed-cells")
    view.X = view.X.tolil()
    view.X[4] = 0
    view.X = view.X.tocsr()
    result = run("embed-cells", "zero_shot", view=view)
    found = vectors(result)
    missing = [cell for cell, value in found.items() if np.isnan(value).any()]
    assert missing == [view.obs_names[4]]
    told = json.loads((result.folder / "facts.json").read_text())
    assert told["cells_without_known_gene"] == 1
    assert told["genes_recognised"] == pytest.approx(0.8)
    assert any("no vector" in line for line in told["warnings"])


@pytest.mark.parametrize("kind", ["static", "contextual"])
def test_embed_genes(run, kind):
    result = run("embed-genes", "zero_shot", params={"gene_vectors": kind})
    assert result.exit_code == 0, result.stderr
    genes = contract.read("gene_embedding", result.folder / "out.h5ad")
    values = np.asarray(genes.X)
    assert values.shape == (30, 16)
    assert int(np.isnan(values).any(1).sum()) == 6
    if kind == "static":
        made = new(Genes.from_symbols([str(s) for s in view_of("x").var["gene_symbol"]][:24]), SIZE, 3)
        table = made.network.wte.weight.detach().numpy()
        names = [str(s) for s in view_of("x").var["gene_symbol"]]
        position = list(genes.obs_names).index(view_of("x").var_names[5])
        np.testing.assert_array_equal(values[position], table[made.vocabulary.ids[names[5]]])


@pytest.mark.parametrize("regime", ["frozen", "finetune", "scratch"])
def test_annotate(run, regime):
    result = run("annotate", regime)
    assert result.exit_code == 0, result.stderr
    view = view_of("annotate")
    cells = contract.read("annotation", result.folder / "out.h5ad")
    assert sorted(cells.obs_names) == sorted(view.obs_names[view.obs["part"] == "test"])
    np.testing.assert_allclose(cells.obsm["probability"].sum(1), 1, atol=1e-6)
    again = contract.read("annotation", run("annotate", regime).folder / "out.h5ad")
    np.testing.assert_array_equal(again.obsm["probability"], cells.obsm["probability"])


@pytest.mark.parametrize("params", [{"lora_rank": 2}, {"exclude": False, "type_ids": False, "unknown": "upstream"}])
def test_switches_reach_the_network(run, params):
    plain, changed = (run("annotate", "finetune", params=p) for p in ({}, params))
    assert changed.exit_code == 0, changed.stderr
    first, second = (contract.read("annotation", r.folder / "out.h5ad").obsm["probability"] for r in (plain, changed))
    assert np.abs(first - second).max() > 1e-6


def test_too_few_known_genes_are_not_applicable_with_the_share(run):
    view = view_of("embed-cells")
    view.var["gene_symbol"][5:] = [f"ELSE{i}" for i in range(25)]
    result = run("embed-cells", "zero_shot", view=view)
    assert result.exit_code == 99
    assert "recognises 16.7% of the 30 genes" in result.stderr.splitlines()[-1]


def test_a_model_with_fewer_positions_is_not_applicable(run):
    result = run("embed-cells", "zero_shot", params={"max_length": 64})
    assert result.exit_code == 99
    assert "max_length is 64, the model has 16 positions" in result.stderr.splitlines()[-1]
