"""What every model program of ours must do, whichever model it is."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from helpers import make_view, reorder, true_types
from sceval import contract
from sceval.contract import CellFile

MODELS = ["controls", "harmony", "knn", "logreg", "pca"]
SMALL = {"n_hvg": 30, "n_components": 8}
EMBEDDING = [
    ("controls", "embed-cells", {"control": "random"}, 16),
    ("controls", "embed-cells", {"control": "batch_onehot"}, 2),
    ("controls", "embed-cells", {"control": "log_total"}, 2),
    ("controls", "embed-cells", {"control": "untrained"}, 64),
    ("pca", "embed-cells", SMALL, 8),
    ("harmony", "integrate", SMALL, 8),
]
ANNOTATING = [
    ("controls", "annotate", {"control": "majority"}),
    ("controls", "annotate", {"control": "stratified_random"}),
    ("controls", "annotate", {"control": "log_total"}),
    ("knn", "annotate", SMALL | {"k": 7}),
    ("knn", "annotate", SMALL | {"weights": "distance"}),
    ("logreg", "annotate", {"n_hvg": 30}),
]


def _by_id(cells: CellFile, values: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(cells.obs_names, values, strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_info_is_json_that_fits_its_schema(model):
    result = CliRunner().invoke(import_module(f"sceval.models.{model}.program").main, ["info"])
    info = json.loads(result.stdout)
    jsonschema.validate(info, contract.load("info"))
    assert info["name"] == model
    assert set(info["regimes"]) == set(info["verbs"])
    assert all("default" in spec and spec["description"] for spec in info["params"].values())
    jsonschema.validate(
        {name: spec["default"] for name, spec in info["params"].items()}, {"properties": info["params"]}
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_digest_of_the_code_covers_every_model_that_is_imported(model):
    code = f"import sys, sceval.models.{model}.program; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    folders = {name.split(".")[2] for name in out.split() if name.startswith("sceval.models.") and name.count(".") > 2}
    assert folders == {model, *import_module(f"sceval.models.{model}.program").INFO.uses_code_of}


@pytest.mark.parametrize(("model", "verb", "params", "width"), EMBEDDING)
def test_embedding_has_a_finite_row_for_each_cell_id(call, model, verb, params, width):
    view = make_view()
    result = call(model, verb, view, params)
    assert result.code == 0, result.stderr
    cells = result.cells
    assert list(cells.obs_names) == list(view.obs_names)
    assert cells.obsm["X_emb"].shape == (view.n_obs, width)
    assert np.isfinite(cells.obsm["X_emb"]).all()
    assert cells.obsm["X_emb"].std() > 0
    jsonschema.validate(result.facts, contract.load("facts"))
    assert result.facts["params"].items() >= params.items()


@pytest.mark.parametrize(("model", "verb", "params"), ANNOTATING)
def test_annotation_is_for_the_test_cells_with_rows_that_sum_to_one(call, model, verb, params):
    view = make_view()
    result = call(model, verb, view, params)
    assert result.code == 0, result.stderr
    cells = result.cells
    assert list(cells.obs_names) == list(view.obs_names[view.obs["part"] == "test"])
    assert list(cells.uns["classes"]) == ["type0", "type1", "type2"]
    probability = cells.obsm["probability"]
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    assert probability.min() > 0  # an exact 0 makes the log-loss of a wrong cell infinite
    column = np.searchsorted(cells.uns["classes"], cells.obs["prediction"].astype(str))
    np.testing.assert_allclose(cells.obs["confidence"], probability[np.arange(cells.n_obs), column])


@pytest.mark.parametrize(("model", "verb", "params", "width"), EMBEDDING)
def test_embedding_follows_the_ids_when_cells_change_places(call, model, verb, params, width):
    view = make_view()
    order = np.random.default_rng(5).permutation(view.n_obs)
    first, second = (call(model, verb, v, params).cells for v in (view, reorder(view, order)))
    before, after = _by_id(first, first.obsm["X_emb"]), _by_id(second, second.obsm["X_emb"])
    np.testing.assert_allclose([after[i] for i in before], list(before.values()), atol=2e-5)


@pytest.mark.parametrize(("model", "verb", "params"), ANNOTATING)
def test_annotation_follows_the_ids_when_cells_change_places(call, model, verb, params):
    view = make_view()
    order = np.random.default_rng(5).permutation(view.n_obs)
    first, second = (call(model, verb, v, params).cells for v in (view, reorder(view, order)))
    assert _by_id(first, first.obs["prediction"]) == _by_id(second, second.obs["prediction"])
    before, after = (_by_id(c, c.obsm["probability"]) for c in (first, second))
    np.testing.assert_allclose([after[i] for i in before], list(before.values()), atol=1e-6)


@pytest.mark.parametrize(("model", "verb", "params"), ANNOTATING)
def test_a_test_cell_is_labelled_alike_whoever_stands_beside_it(call, model, verb, params):
    view = make_view()
    test = np.flatnonzero(view.obs["part"] == "test")
    fewer = reorder(view, np.setdiff1d(np.arange(view.n_obs), test[1::2]))
    everyone, some = (call(model, verb, v, params).cells for v in (view, fewer))
    before, after = _by_id(everyone, everyone.obsm["probability"]), _by_id(some, some.obsm["probability"])
    assert len(after) < len(before)
    np.testing.assert_allclose(list(after.values()), [before[i] for i in after], atol=1e-6)


@pytest.mark.parametrize("case", EMBEDDING + [(*row, 0) for row in ANNOTATING])
def test_the_same_seed_gives_the_same_numbers(call, case):
    model, verb, params, _ = case
    view = make_view()
    first, second = (call(model, verb, view, params, seed=3).cells for _ in range(2))
    slot = "probability" if verb == "annotate" else "X_emb"
    np.testing.assert_array_equal(first.obsm[slot], second.obsm[slot])
    if verb == "annotate":
        assert list(first.obs["prediction"]) == list(second.obs["prediction"])


@pytest.mark.parametrize("model", ["pca", "knn", "logreg"])
def test_models_that_call_themselves_deterministic_do_not_change_with_the_seed(call, model):
    view = make_view()
    verb, slot = ("embed-cells", "X_emb") if model == "pca" else ("annotate", "probability")
    first, second = (call(model, verb, view, seed=seed).cells.obsm[slot] for seed in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("control", ["random", "untrained"])
def test_random_controls_change_with_the_seed(call, control):
    first, second = (
        call("controls", "embed-cells", make_view(), {"control": control}, seed=seed).cells.obsm["X_emb"]
        for seed in (0, 1)
    )
    assert np.abs(first - second).max() > 0.1


NOT_APPLICABLE = [
    ("harmony", "integrate", {}, {"batches": 1}, "scratch", "one batch ('batch0'), there is nothing to integrate"),
    ("controls", "embed-cells", {"control": "batch_onehot"}, {"batches": 1}, "scratch", "needs two batches"),
    ("controls", "embed-cells", {"control": "majority"}, {}, "scratch", "'majority' does not do embed-cells"),
    ("controls", "annotate", {"control": "random"}, {}, "scratch", "'random' does not do annotate; those that do"),
    ("logreg", "annotate", {}, {"types": 1}, "scratch", "one class ('type0')"),
    ("knn", "annotate", {}, {"task": "batch_integration"}, "scratch", "no column `cell_type`"),
    ("pca", "embed-cells", {}, {}, "zero_shot", "pca has no regime 'zero_shot' for embed-cells; it has scratch, probe"),
]


@pytest.mark.parametrize(("model", "verb", "params", "view", "regime", "reason"), NOT_APPLICABLE)
def test_not_applicable_exits_with_99_and_the_reason_last(call, model, verb, params, view, regime, reason):
    result = call(model, verb, make_view(**view), params, regime=regime)
    assert result.code == 99
    assert reason in result.stderr.strip().splitlines()[-1]
    assert not result.output.exists()


def test_a_view_without_batches_or_of_another_matrix_is_not_applicable(call):
    view = make_view()
    del view.obs["batch"]
    assert "no column `batch`" in call("harmony", "integrate", view).stderr
    view.uns["sceval"] = view.uns["sceval"] | {"matrix": "lognorm"}
    result = call("pca", "embed-cells", view)
    assert result.code == 99
    assert "pca needs a matrix of counts and this one holds lognorm" in result.stderr


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_componentss": 3}, "unknown parameter 'n_componentss'; did you mean 'n_components'?"),
        ({"n_components": 0}, "n_components is 0; the smallest allowed value is 1"),
        ({"n_components": "8"}, "n_components is '8'; expected integer"),
        ("[1]", "a JSON list; expected an object"),
        ("{", "not JSON"),
        ("no-such-file.json", "neither a JSON object nor a file"),
    ],
)
def test_bad_parameters_are_refused_by_name(call, params, message):
    result = call("pca", "embed-cells", make_view(), params)
    assert result.code not in (0, 99)
    assert message in " ".join(result.stderr.split())


def test_parameters_may_come_from_a_file(call, tmp_path):
    (tmp_path / "params.json").write_text(json.dumps(SMALL))
    assert call("pca", "embed-cells", make_view(), str(tmp_path / "params.json")).cells.obsm["X_emb"].shape[1] == 8


def test_a_bad_view_is_an_error_with_place_and_remedy(call):
    view = make_view()
    view.X.data[3] = 0.5
    result = call("pca", "embed-cells", view)
    assert result.code == 1
    assert "view.h5ad: X: found a normalised matrix" in " ".join(result.stderr.split())


def test_capped_sizes_are_reported(call):
    result = call("pca", "embed-cells", make_view(n=12), {"n_components": 50})
    assert any("11 components instead of 50" in sentence for sentence in result.facts["warnings"])
    result = call("knn", "annotate", make_view(n=40), {"k": 500})
    assert any("neighbours instead of 500" in sentence for sentence in result.facts["warnings"])


def test_reference_cells_without_label_are_left_out_and_counted(call):
    view = make_view()
    known = np.flatnonzero(view.obs["part"] == "train")
    view.obs["cell_type"][known[:4]] = None
    result = call("logreg", "annotate", view)
    assert any("4 reference cells have no label" in sentence for sentence in result.facts["warnings"])
    assert "nan" not in result.cells.uns["classes"]
    assert "None" not in result.cells.uns["classes"]


@pytest.mark.parametrize("model", ["knn", "logreg"])
def test_planted_types_are_found(call, model):
    view = make_view(n=120, g=60)
    cells = call(model, "annotate", view).cells
    truth = dict(zip(view.obs_names, true_types(120, 3), strict=True))
    assert np.mean([p == truth[i] for i, p in zip(cells.obs_names, cells.obs["prediction"], strict=True)]) > 0.9


def test_mouse_cells_for_human_weights_are_not_applicable_unless_the_row_says_so(tmp_path):
    from sceval.contract import h5ad
    from sceval.contract.results import Embedding
    from sceval.models.genes import PARAMS, recognise
    from sceval.models.program import program
    from sceval.models.request import Info

    regimes = {"embed-cells": ("zero_shot", "scratch")}
    info = Info("m", "M", "1", ("embed-cells",), regimes, ("zero_shot",), organisms=("human",), params=PARAMS)

    def embed(request):
        """Embed."""
        if request.regime == "zero_shot":
            recognise(request, {"ACTB", "TP53"}, info)
        return Embedding(np.ones((request.view.n_obs, 2), np.float32))

    view = make_view(g=30)
    view.var["gene_symbol"][:3] = ["Actb", "Trp53", "Gm1"]
    view.uns["sceval"]["organism"] = "mouse"
    h5ad.write(tmp_path / "view.h5ad", view)
    (tmp_path / "weights").mkdir()

    def run(regime, params="{}"):
        words = ["--view", tmp_path / "view.h5ad", "--output", tmp_path / "out.h5ad", "--weights", tmp_path / "weights"]
        words = ["embed-cells", *map(str, words), "--regime", regime, "--params", params]
        return CliRunner().invoke(program(info, {"embed-cells": embed}), words)

    refused = run("zero_shot")
    assert refused.exit_code == 99
    assert 'knows human only; the dataset is mouse; with params {"orthologues": true}' in refused.stderr
    assert run("scratch").exit_code == 0
    assert run("zero_shot", '{"orthologues": true}').exit_code == 0
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["genes_found"] == {"orthologue": 2}
    assert facts["genes_recognised"] == pytest.approx(2 / 30, abs=1e-6)
    assert "2 by one-to-one orthologue" in facts["warnings"][0]


def test_controls_import_nothing_heavy():
    heavy = ["torch", "anndata", "pandas", "sklearn", "scanpy", "numba"]
    code = f"import sys, sceval.models.controls.program; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("model", MODELS)
def test_info_of_any_model_imports_nothing_heavy(model):
    heavy = ["torch", "anndata", "pandas", "sklearn", "scanpy", "harmonypy"]
    code = f"import sys, sceval.models.{model}.program; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
