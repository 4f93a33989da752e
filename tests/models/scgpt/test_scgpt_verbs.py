"""The program's verbs beyond the shared ones, called as the pipeline calls them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view
from sceval import contract
from sceval.contract.h5ad import write
from sceval.contract.light_tables import read_table
from sceval.models.scgpt.checkpoint import save_checkpoint
from sceval.models.scgpt.program import main

TINY = {"d_model": 8, "n_heads": 2, "n_layers": 1, "epochs": 1, "batch_size": 16}


@pytest.fixture
def run(small, tmp_path):
    def call(verb, view, regime, params=None, n_genes=24, output="out.h5ad"):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write(folder / "view.h5ad", view)
        options = ["--view", str(folder / "view.h5ad"), "--output", str(folder / output), "--regime", regime]
        options += ["--params", json.dumps({**TINY, **(params or {})}), "--device", "cpu"]
        if regime != "scratch":
            made = small(n_genes=n_genes)
            save_checkpoint(folder / "weights", made.model, made.vocabulary)
            options += ["--weights", str(folder / "weights")]
        result = CliRunner().invoke(main, [verb, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        result.output_file = folder / output
        facts = folder / "facts.json"
        result.facts = json.loads(facts.read_text()) if facts.is_file() else {}
        return result

    return call


@pytest.fixture
def view():
    return make_view(n=60, g=30, task="batch_integration")


@pytest.mark.parametrize("regime", ["zero_shot", "scratch"])
def test_impute_keeps_cells_genes_and_totals(run, view, regime):
    result = run("impute", view, regime)
    assert result.exit_code == 0, result.stderr
    cells = contract.read("imputed", result.output_file)
    assert list(cells.obs_names) == list(view.obs_names)
    assert list(cells.var_names) == list(view.var_names)
    known = [int(str(s)[4:]) < (24 if regime == "zero_shot" else 30) for s in view.var["gene_symbol"]]
    want = np.asarray(view.X[:, known].sum(1)).ravel()
    np.testing.assert_allclose(np.asarray(cells.X)[:, known].sum(1), want, rtol=1e-3)
    assert any("6 genes are unknown" in line for line in result.facts["warnings"]) == (regime == "zero_shot")


def test_impute_learns_from_single_cells_and_answers_for_spots(run, view):
    view.obs["modality"] = np.array(["spatial" if i % 3 == 0 else "single_cell" for i in range(60)], object)
    result = run("impute", view, "scratch", {"validation_fraction": 0.0})
    assert result.exit_code == 0, result.stderr
    cells = contract.read("imputed", result.output_file)
    assert list(cells.obs_names) == list(view.obs_names[::3])
    assert result.facts["train_cells"] == 40


def test_perturb(run, view):
    genes = list(view.var["gene_symbol"][:3])
    view.obs["perturbation"] = np.array(["ctrl" if i % 4 == 0 else genes[i % 3] for i in range(60)], object)
    view.uns["perturbation"] = {"control": "ctrl", "targets": np.array([genes[0], f"{genes[0]}+{genes[1]}"], object)}
    result = run("perturb", view, "scratch")
    assert result.exit_code == 0, result.stderr
    made = contract.read("perturbation", result.output_file)
    assert list(made.obs["perturbation"]) == [genes[0], f"{genes[0]}+{genes[1]}"]
    assert list(made.var_names) == list(view.var_names)
    assert run("perturb", make_view(n=60, g=30, task="batch_integration"), "scratch").exit_code == 99


def test_infer_network(run, view):
    result = run("infer-network", view, "zero_shot", {"network_genes": 10}, output="out.parquet")
    assert result.exit_code == 0, result.stderr
    table = read_table("network", result.output_file)
    assert len(table["score"]) == 90
    assert set(table["source"]) <= set(view.var_names)


@pytest.mark.parametrize("regime", ["scratch", "frozen"])
def test_annotation_by_the_recipe_of_the_study(run, regime):
    result = run("annotate", make_view(n=60, g=30), regime, {"recipe": "study"})
    assert result.exit_code == 0, result.stderr
    cells = contract.read("annotation", result.output_file)
    np.testing.assert_allclose(cells.obsm["probability"].sum(1), 1, atol=1e-6)
    assert result.facts["params_used"]["mask_ratio"] == 0.4


def test_simulate(run):
    view = make_view(n=60, g=30)
    types = [t for t in dict.fromkeys(view.obs["cell_type"]) if t is not None][:2]
    view.obs["batch"] = np.array([f"b{i % 2}" for i in range(60)], object)
    told = {"cell_type": np.array(types, object), "batch": np.array(["b0", "b1"], object), "n": np.array([4, 3])}
    view.uns["simulation"] = told
    result = run("simulate", view, "scratch")
    assert result.exit_code == 0, result.stderr
    cells = contract.read("simulated", result.output_file)
    assert list(cells.obs["cell_type"]) == [types[0]] * 4 + [types[1]] * 3
    assert list(cells.obs["batch"]) == ["b0"] * 4 + ["b1"] * 3
    assert list(cells.var_names) == list(view.var_names)
    view.uns["simulation"] = told | {"cell_type": np.array(["nobody", types[0]], object)}
    result = run("simulate", view, "scratch")
    assert result.exit_code == 99
    assert "new cells of nobody" in result.stderr


@pytest.mark.parametrize("regime", ["scratch", "frozen", "finetune"])
def test_classify_genes(run, view, regime):
    view.var["gene_class"] = np.array([None if i % 3 == 2 else ("a", "b")[i % 2] for i in range(30)], object)
    view.var["part"] = np.array([("train", "train", "test")[i % 3] for i in range(30)], object)
    result = run("classify-genes", view, regime, n_genes=30, output="out.parquet")
    assert result.exit_code == 0, result.stderr
    table = read_table("gene_classes", result.output_file)
    assert set(table["class"]) == {"a", "b"}
    assert set(table["gene"]) == set(view.var_names[2::3])


def test_cells_of_several_modalities_are_integrated(run, view):
    view.var["modality"] = np.array(["rna"] * 20 + ["protein"] * 10, object)
    view.obs["modality"] = np.array(["rna", "paired"], object)[np.arange(60) % 2]
    result = run("integrate", view, "finetune")
    assert result.exit_code == 0, result.stderr
    assert contract.read("cell_embedding", result.output_file).obsm["X_emb"].shape == (60, 16)
    assert result.facts["modalities"] == ["protein", "rna"]
    assert run("integrate", view, "encoder_only").exit_code == 99
