"""The program on a small folder: invariance, NaN rows, switches, mouse, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view, reorder
from sceval import contract
from sceval.contract.h5ad import write
from sceval.models.program import info_json
from sceval.models.uce.program import INFO, main


def sample(organism="human"):
    view = make_view(n=40, g=30, task="batch_integration")
    view.var["gene_symbol"] = np.array([f"GENE{i}" for i in range(30)], object)
    view.uns["sceval"]["organism"] = organism
    return view


@pytest.fixture
def run(official, tmp_path):
    weights = official()

    def call(view=None, regime="zero_shot", seed=0, **params):
        folder = tmp_path / f"call{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write(folder / "view.h5ad", sample() if view is None else view)
        options = ["--view", str(folder / "view.h5ad"), "--output", str(folder / "out.h5ad"), "--regime", regime]
        options += ["--weights", str(weights), "--device", "cpu", "--seed", str(seed)]
        options += ["--params", json.dumps({"n_heads": 4, "sample_size": 20, **params})]
        result = CliRunner().invoke(main, ["embed-cells", *options])
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


def test_vectors_do_not_depend_on_batch_size_order_or_neighbors(run):
    first = vectors(run())
    order = np.random.default_rng(0).permutation(40)
    others = [run(batch_size=1), run(reorder(sample(), order), regime="probe"), run(reorder(sample(), order[:7]))]
    for other in map(vectors, others):
        for cell, value in other.items():
            np.testing.assert_allclose(value, first[cell], atol=1e-5)
    again, drawn = vectors(run()), vectors(run(seed=1))
    assert all((again[cell] == value).all() for cell, value in first.items())
    assert max(np.abs(drawn[cell] - value).max() for cell, value in first.items()) > 1e-3


def test_rows_of_nan_and_filters(run):
    view = sample()
    view.X = view.X.tolil()
    view.X[4] = 0
    view.X[:, 2] = 0
    view.X[:3, 2] = 1
    view.X = view.X.tocsr()
    plain = run(view)
    found = vectors(plain)
    assert [cell for cell, value in found.items() if np.isnan(value).any()] == [view.obs_names[4]]
    filtered = run(view, min_cells=10, min_genes=3)
    changed = vectors(filtered)
    assert list(changed) == list(found)
    told = json.loads((filtered.folder / "facts.json").read_text())
    rare = int(((view.X.toarray() > 0).sum(0) < 10).sum())
    assert 0 < rare < 30
    assert any(f"{rare} genes are seen in fewer than 10 cells" in line for line in told["warnings"])
    assert any("express fewer than 3 genes" in line for line in told["warnings"])
    assert run(view, min_cells=41).exit_code == 99


def test_official_padding_and_draws_by_switch(run):
    first = vectors(run())
    padded, legacy = vectors(run(padding="upstream", upstream_batch=7)), vectors(run(draws="upstream"))
    assert max(np.abs(padded[cell] - value).max() for cell, value in first.items()) > 1e-4
    assert max(np.abs(legacy[cell] - value).max() for cell, value in first.items()) > 1e-3
    small = vectors(run(padding="upstream", upstream_batch=7, batch_size=2))
    for cell, value in padded.items():
        np.testing.assert_allclose(small[cell], value, atol=1e-5)


def test_mouse_has_genes_of_its_own(run):
    view = sample("mouse")
    view.var["gene_symbol"] = np.array([f"Gene{i}" for i in range(30)], object)
    result = run(view)
    assert len(vectors(result)) == 40
    assert json.loads((result.folder / "facts.json").read_text())["genes_recognised"] == pytest.approx(0.4)


def test_too_few_known_genes_are_not_applicable_with_the_share(run):
    view = sample()
    view.var["gene_symbol"][3:] = [f"ELSE{i}" for i in range(27)]
    result = run(view)
    assert result.exit_code == 99
    assert "recognises 10.0% of the 30 genes" in result.stderr.splitlines()[-1]


def test_heads_that_do_not_fit_fail_with_a_message(run):
    result = run(n_heads=20)
    assert result.exit_code == 1
    assert "width 16 is not divisible by 20" in result.stderr
    assert not (result.folder / "out.h5ad").exists()
