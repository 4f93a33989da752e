from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view
from sceval import contract
from sceval.contract.h5ad import write
from sceval.models.scfoundation.checkpoint import save
from sceval.models.scfoundation.program import INFO, main


@pytest.fixture
def run(small, tmp_path):
    """Call the program on a sample view with a small checkpoint."""

    def call(verb, view, regime="zero_shot", params=None, n_genes=24):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        write(folder / "view.h5ad", view) if folder.mkdir() is None else None
        made = small(n_genes=n_genes)
        save(folder / "weights", made.network, made.vocabulary)
        options = ["--view", str(folder / "view.h5ad"), "--output", str(folder / "out.h5ad"), "--regime", regime]
        options += ["--params", json.dumps(params or {}), "--weights", str(folder / "weights"), "--device", "cpu"]
        result = CliRunner().invoke(main, [verb, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        result.folder = folder
        return result

    return call


@pytest.fixture
def view():
    return make_view(n=40, g=30, task="batch_integration")


def read(result, kind):
    assert result.exit_code == 0, result.stderr
    return contract.read(kind, result.folder / "out.h5ad"), json.loads((result.folder / "facts.json").read_text())


def test_info_is_valid_and_names_the_licence_of_the_weights():
    import jsonschema

    shown = json.loads(CliRunner().invoke(main, ["info"]).output)
    jsonschema.validate(shown, contract.load("info"))
    assert "non-commercial" in shown["licence"]
    assert shown["verbs"] == list(INFO.verbs)


@pytest.mark.parametrize("regime", ["zero_shot", "probe"])
def test_embed_cells(run, view, regime):
    cells, facts = read(run("embed-cells", view, regime), "cell_embedding")
    assert cells.obsm["X_emb"].shape == (40, 32)
    assert facts["genes_recognised"] == pytest.approx(0.8)
    assert len(facts["weights_sha256"]) == 64


def test_a_cell_without_a_listed_gene_is_a_row_of_nan_with_a_warning(run, view):
    view.X = view.X.tolil()
    view.X[3] = 0
    view.X = view.X.tocsr()
    cells, facts = read(run("embed-cells", view), "cell_embedding")
    empty = np.isnan(cells.obsm["X_emb"]).any(axis=1)
    assert list(cells.obs_names[empty]) == [view.obs_names[3]]
    assert any(str(view.obs_names[3]) in line for line in facts["warnings"])


def test_log_normalized_cells_are_taken_as_they_are(run, view):
    X = view.X.astype(np.float64).multiply(1e4 / np.maximum(view.X.sum(1), 1)).tocsr()
    logs = X.log1p().astype(np.float32)
    logs = type(view)(view.obs_names, view.var_names, X=logs, obs=view.obs, var=view.var, uns=view.uns)
    logs.uns = {**view.uns, "sceval": {**view.uns["sceval"], "matrix": "lognorm"}}
    _, facts = read(run("embed-cells", logs), "cell_embedding")
    assert facts["params_used"]["pre_normalized"]
    assert run("impute", logs).exit_code == 99


@pytest.mark.parametrize(("source", "width"), [("contextual", 12), ("static", 8)])
def test_embed_genes(run, view, source, width):
    genes, facts = read(run("embed-genes", view, params={"gene_vectors": source, "gene_cells": 7}), "gene_embedding")
    assert genes.X.shape == (30, width)
    assert np.isnan(genes.X).any(axis=1).sum() == 6
    assert facts.get("cells_averaged") == (7 if source == "contextual" else None)


def test_impute(run, view):
    view.X = view.X.tolil()
    view.X[2] = 0
    view.X = view.X.tocsr()
    cells, facts = read(run("impute", view), "imputed")
    assert list(cells.var_names) == list(view.var_names)
    totals = np.asarray(view.X.sum(1)).ravel()
    known = [int(str(s)[4:]) < 24 for s in view.var["gene_symbol"]]
    made = np.asarray(cells.X)[:, known].sum(1)
    np.testing.assert_allclose(made, np.asarray(view.X[:, known].sum(1)).ravel(), rtol=1e-4)
    assert not made[2]
    assert totals[2] == 0
    assert any("6 genes are unknown" in line for line in facts["warnings"])
    assert any("1 cells got" in line for line in facts["warnings"])


def test_a_view_without_listed_genes_is_not_applicable(run, view):
    result = run("embed-cells", view, n_genes=3)
    assert result.exit_code == 99
    assert "recognises 10.0% of the 30 genes" in result.stderr


def test_a_wrong_target_depth_is_told(run, view):
    result = run("embed-cells", view, params={"target_depth": "deep"})
    assert result.exit_code == 2
    assert "target depth is 'deep'" in result.stderr


def test_lists_its_genes(small, tmp_path):
    made = small(n_genes=3)
    save(tmp_path, made.network, made.vocabulary)
    assert CliRunner().invoke(main, ["genes", "--weights", str(tmp_path)]).output.split() == ["GENE0", "GENE1", "GENE2"]
    (tmp_path / "OS_scRNA_gene_index.19264.tsv").unlink()
    assert CliRunner().invoke(main, ["genes", "--weights", str(tmp_path)]).exit_code == 1
