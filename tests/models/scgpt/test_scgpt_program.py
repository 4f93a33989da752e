from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view
from sceval import contract
from sceval.contract.h5ad import write
from sceval.models.program import info_json
from sceval.models.scgpt.checkpoint import save_checkpoint
from sceval.models.scgpt.program import INFO, main

TINY = {"d_model": 8, "n_heads": 2, "n_layers": 1, "epochs": 2, "batch_size": 16, "n_hvg": 20, "lr": 0.01}


@pytest.fixture
def run(small, tmp_path):
    """Call the program on a sample view, with a checkpoint that knows its genes where asked."""

    def call(verb, regime, *, view=None, params=None, checkpoint=None, **changes):
        task = "cell_type_annotation" if verb == "annotate" else "batch_integration"
        view = make_view(n=60, g=30, task=task) if view is None else view
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        write(folder / "view.h5ad", view)
        options = ["--view", str(folder / "view.h5ad"), "--output", str(folder / "out.h5ad"), "--regime", regime]
        options += ["--params", json.dumps({**TINY, **(params or {})}), "--device", "cpu"]
        if checkpoint is not None or changes:
            made = small(**changes)
            weights = folder / "weights"
            save_checkpoint(weights, made.model, made.vocabulary, args=checkpoint)
            options += ["--weights", str(weights)]
        result = CliRunner().invoke(main, [verb, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        result.folder = folder
        return result

    return call


def facts(result):
    return json.loads((result.folder / "facts.json").read_text())


def test_info_is_valid_json_of_the_contract():
    import jsonschema

    shown = json.loads(CliRunner().invoke(main, ["info"]).output)
    jsonschema.validate(shown, contract.load("info"))
    assert shown == json.loads(json.dumps(info_json(INFO))) | {"lists_genes": True}
    assert shown["params"]["lr"]["type"] == "number"


@pytest.mark.parametrize("regime", ["zero_shot", "probe"])
def test_embed_cells(run, regime):
    result = run("embed-cells", regime, n_genes=24)
    assert result.exit_code == 0, result.stderr
    cells = contract.read("cell_embedding", result.folder / "out.h5ad")
    assert cells.obsm["X_emb"].shape == (60, 16)
    told = facts(result)
    assert told["genes_recognised"] == pytest.approx(0.8)
    assert len(told["weights_sha256"]) == 64
    assert told["weights_loaded"]["new"] == {}


@pytest.mark.parametrize(("regime", "width"), [("scratch", 8), ("finetune", 16)])
def test_integrate(run, regime, width):
    result = run("integrate", regime, **({} if regime == "scratch" else {"n_layers": 2}))
    assert result.exit_code == 0, result.stderr
    cells = contract.read("cell_embedding", result.folder / "out.h5ad")
    assert cells.obsm["X_emb"].shape == (60, width)
    assert "scgpt integrate: epoch 2/2" in result.stderr
    told = facts(result)
    assert told["params_used"]["mask_ratio"] == 0.4
    assert told["params_used"]["gamma"] == 0.9
    assert ("weights_loaded" in told) == (regime == "finetune")


@pytest.mark.parametrize("regime", ["scratch", "finetune", "frozen"])
def test_annotate(run, regime):
    result = run("annotate", regime, params={"epochs": 8}, **({} if regime == "scratch" else {"n_layers": 2}))
    assert result.exit_code == 0, result.stderr
    view = make_view(n=60, g=30)
    cells = contract.read("annotation", result.folder / "out.h5ad")
    assert sorted(cells.obs_names) == sorted(view.obs_names[view.obs["part"] == "test"])
    assert set(cells.uns["classes"]) == {"type0", "type1", "type2"}
    np.testing.assert_allclose(cells.obsm["probability"].sum(1), 1, atol=1e-6)


def test_a_query_cell_without_counts_stays_unassigned(run):
    view = make_view(n=60, g=30)
    row = int(np.flatnonzero(view.obs["part"] == "test")[0])
    view.X = view.X.tolil()
    view.X[row] = 0
    view.X = view.X.tocsr()
    result = run("annotate", "scratch", view=view)
    cells = contract.read("annotation", result.folder / "out.h5ad")
    prediction = dict(zip(cells.obs_names, cells.obs["prediction"], strict=True))
    assert prediction[view.obs_names[row]] == "unassigned"
    assert sum(p == "unassigned" for p in prediction.values()) == 1


@pytest.mark.parametrize(
    ("verb", "regime", "reason"),
    [
        ("integrate", "frozen", "no regime 'frozen' for integrate"),
        ("integrate", "finetune", "finetune starts from pre-trained weights and none were given"),
        ("embed-cells", "scratch", "no regime 'scratch' for embed-cells"),
        ("annotate", "zero_shot", "no regime 'zero_shot' for annotate"),
    ],
)
def test_not_applicable_regimes(run, verb, regime, reason):
    result = run(verb, regime)
    assert result.exit_code == 99
    assert reason in result.stderr.splitlines()[-1]
    assert not (result.folder / "out.h5ad").exists()


def test_integration_with_labels_needs_a_view_that_shows_them(run):
    result = run("integrate", "scratch", params={"use_labels": True})
    assert result.exit_code == 99
    assert "this view shows no label" in result.stderr
    shown = make_view(n=60, g=30, task="batch_integration")
    shown.obs["cell_type"] = make_view(n=60, g=30).obs["cell_type"]
    result = run("integrate", "scratch", view=shown, params={"use_labels": True, "reconstruction": "cross_entropy"})
    assert result.exit_code == 0, result.stderr
    assert 0 < facts(result)["labelled_cells"] <= 60


def test_too_few_known_genes_is_not_applicable_with_the_share(run):
    view = make_view(n=60, g=30, task="batch_integration")
    view.var["gene_symbol"][5:] = [f"Mouse{i}" for i in range(25)]
    result = run("embed-cells", "zero_shot", view=view, n_genes=30)
    assert result.exit_code == 99
    assert "recognises 16.7% of the 30 genes" in result.stderr.splitlines()[-1]


def test_lists_the_genes_of_the_checkpoint(small, tmp_path):
    made = small(n_genes=4)
    save_checkpoint(tmp_path, made.model, made.vocabulary)
    result = CliRunner().invoke(main, ["genes", "--weights", str(tmp_path)])
    assert result.output.split() == ["GENE0", "GENE1", "GENE2", "GENE3"]


@pytest.mark.parametrize(
    ("verb", "regime", "changes", "reason"),
    [
        ("integrate", "finetune", {"batch_norm": True}, "bn.*"),
        ("annotate", "frozen", {"n_batches": 2, "n_domains": 2}, "trained for integration (DSBN)"),
    ],
)
def test_a_checkpoint_for_another_use_is_not_applicable(run, verb, regime, changes, reason):
    result = run(verb, regime, **changes)
    assert result.exit_code == 99
    assert reason in result.stderr.splitlines()[-1]


def test_an_old_checkpoint_with_its_own_normalization_integrates_without_dsbn(run):
    result = run("integrate", "finetune", params={"dsbn": False}, batch_norm=True)
    assert result.exit_code == 0, result.stderr


def test_sizes_that_do_not_fit_are_refused_by_name(run):
    result = run("integrate", "scratch", params={"n_heads": 3})
    assert result.exit_code == 2
    assert "d_model 8 is not divisible by n_heads 3" in result.stderr


def test_one_batch_is_not_applicable(run):
    view = make_view(n=60, g=30, task="batch_integration")
    view.obs["batch"][:] = "only"
    result = run("integrate", "scratch", view=view)
    assert result.exit_code == 99
    assert "one batch ('only')" in result.stderr


def test_dsbn_checkpoint_embeds_its_own_batches_only(run):
    dsbn = {"n_batches": 2, "n_domains": 2}
    known = run("embed-cells", "zero_shot", checkpoint={"batches": ["batch0", "batch1"]}, **dsbn)
    assert known.exit_code == 0, known.stderr
    for args in ({"batches": ["a", "b"]}, {}):
        other = run("embed-cells", "zero_shot", checkpoint=args, **dsbn)
        assert other.exit_code == 99
        assert "DSBN" in other.stderr.splitlines()[-1]


def test_a_damaged_checkpoint_fails_with_a_message(run, small, tmp_path):
    made = small()
    save_checkpoint(tmp_path / "w", made.model, made.vocabulary)
    (tmp_path / "w" / "best_model.pt").write_bytes(b"PK\x03\x04 cut")
    write(tmp_path / "v.h5ad", make_view(n=60, g=30, task="batch_integration"))
    options = [
        "--view",
        str(tmp_path / "v.h5ad"),
        "--output",
        str(tmp_path / "o.h5ad"),
        "--weights",
        str(tmp_path / "w"),
    ]
    result = CliRunner().invoke(main, ["embed-cells", *options, "--regime", "zero_shot"])
    assert result.exit_code == 1
    assert "not a readable torch state dict" in result.stderr
    assert not (tmp_path / "o.h5ad").exists()


def test_the_program_imports_no_torch_before_a_verb_needs_it():
    import subprocess
    import sys

    code = "import sys, sceval.models.scgpt.program; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
