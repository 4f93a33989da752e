"""The program: every verb on a small view, by official weights or from scratch."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sceval import contract
from sceval.contract.h5ad import write
from sceval.contract.light_tables import read_table
from sceval.contract.sample import sample_types, sample_view, take
from sceval.contract.verbs import WRITES, output_file
from sceval.data.genes import Genes
from sceval.models.geneformer.checkpoint import new, save
from sceval.models.geneformer.insilico import perturbed_ranking
from sceval.models.geneformer.program import INFO, main
from sceval.models.geneformer.tokens import tokenize

SIZES = {"width": 16, "n_layers": 2, "n_heads": 2, "d_ff": 24}


@pytest.fixture
def view():
    return sample_view(n=60, g=30)


@pytest.fixture
def weights(tmp_path, view):
    """A random checkpoint that knows all but the last two genes of the view."""
    genes = Genes.of(take(view, np.arange(60), np.arange(28)))
    made = new(genes, SIZES, 0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    tokenize(view.X[:, :28], genes, list(view.obs_names), made.vocabulary, {}, 0)
    save(tmp_path / "weights", made.network, made.vocabulary)
    return tmp_path / "weights"


@pytest.fixture
def call(tmp_path, weights):
    """Run a verb; returns the result of the call, the output's path and the facts."""
    count = iter(range(100))

    def run(verb, view, regime="zero_shot", seed=0, code=0, **params):
        folder = tmp_path / f"call{next(count)}"
        folder.mkdir()
        write(folder / "view.h5ad", view)
        output = folder / "out" / output_file(WRITES[verb])
        options = [
            "--view",
            str(folder / "view.h5ad"),
            "--output",
            str(output),
            "--regime",
            regime,
            "--seed",
            str(seed),
        ]
        options += ["--device", "cpu", "--params", json.dumps(params)]
        options += ["--weights", str(weights)] if regime != "scratch" else []
        result = CliRunner().invoke(main, [verb, *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.stderr
        if code:
            assert not output.exists()
            return result.stderr.strip().splitlines()[-1]
        facts = json.loads(output.with_name("facts.json").read_text())
        return output, facts

    return run


def embedding(output):
    cells = contract.read("cell_embedding", output[0])
    return dict(zip(cells.obs_names, cells.obsm["X_emb"], strict=True))


def test_info_lists_what_there_is():
    info = json.loads(CliRunner().invoke(main, ["info"]).stdout)
    assert info["lists_genes"]
    assert set(info["verbs"]) == set(info["regimes"])
    assert set(info["verbs"]) <= set(WRITES)


def test_genes_of_a_checkpoint(weights, view):
    done = CliRunner().invoke(main, ["genes", "--weights", str(weights)])
    assert done.stdout.split() == list(view.var_names[:28])


def test_embedding_depends_on_the_cell_alone(call, view):
    X = sample_view(n=60, g=30).X.tolil()
    X[5] = 0
    view.X = X.tocsr()
    first = call("embed-cells", view)
    whole = embedding(first)
    empty = view.obs_names[5]
    assert np.isnan(whole[empty]).all()
    assert any("1 cells express no gene" in text for text in first[1]["warnings"])
    assert first[1]["genes_recognised"] == pytest.approx(28 / 30, abs=1e-5)
    rng = np.random.default_rng(0)
    mixed = take(view, rng.permutation(60), rng.permutation(30))
    mixed.var["ensembl_id"] = np.array([f"{name}.{i % 9}" for i, name in enumerate(mixed.var["ensembl_id"])], object)
    for other in (call("embed-cells", mixed, batch_size=3), call("embed-cells", take(view, np.arange(10, 40)))):
        found = embedding(other)
        for name, vector in found.items():
            np.testing.assert_allclose(vector, whole[name], atol=1e-5)
    assert np.abs(np.stack([v for v in whole.values() if np.isfinite(v).all()]).std(0)).max() > 1e-3


def test_genes_without_ensembl_id_are_found_by_symbol(call, view):
    expected = embedding(call("embed-cells", view))
    view.var["ensembl_id"] = np.full(30, "", object)
    found = embedding(call("embed-cells", view))
    for name, vector in expected.items():
        np.testing.assert_allclose(found[name], vector, atol=1e-5)


def test_few_known_genes_and_pooling_are_told(call, view):
    view.var["ensembl_id"] = np.array([f"ENSG{i:011d}" for i in range(5000, 5030)], object)
    view.var["gene_symbol"] = np.array([f"NOGENE{i}" for i in range(30)], object)
    assert "recognises 0.0% of the 30 genes; at least 20%" in call("embed-cells", view, code=99)


def test_gene_vectors(call, view):
    for way in ("contextual", "static"):
        genes = contract.read("gene_embedding", call("embed-genes", view, gene_vectors=way)[0])
        assert np.isnan(genes.X).all(axis=1).sum() == 2
        assert genes.X.shape == (30, 16)


@pytest.mark.parametrize("regime", ["frozen", "finetune", "scratch"])
def test_annotation(call, view, regime):
    params = SIZES if regime == "scratch" else {}
    settings = {"lr": 5e-3, "epochs": 12, **params} if regime != "frozen" else {"lr": 3e-2, "epochs": 20}
    output, facts = call("annotate", view, regime, **settings)
    cells = contract.read("annotation", output)
    truth = dict(zip(view.obs_names, sample_types(60, 3), strict=True))
    right = np.mean([truth[n] == p for n, p in zip(cells.obs_names, cells.obs["prediction"], strict=True)])
    assert right > (0.4 if regime == "frozen" else 0.7)
    assert facts["epochs_run"] == settings["epochs"]
    again = contract.read("annotation", call("annotate", view, regime, **settings)[0])
    np.testing.assert_array_equal(cells.obsm["probability"], again.obsm["probability"])


def test_lower_layers_can_be_fixed(call, view):
    trained = {}
    for n in (0, 1, 2):
        trained[n] = call("annotate", view, "frozen", frozen_layers=n, epochs=1)[1]["parameters_trained"]
    assert trained[0] - trained[1] == trained[1] - trained[2] > 0
    assert "frozen_layers is 3" in call("annotate", view, "frozen", frozen_layers=3, code=99)


@pytest.mark.parametrize("way", ["attention", "embedding", "contextual"])
def test_networks(call, view, way):
    output, _ = call("infer-network", view, network_from=way)
    edges = read_table("network", output)
    pairs = dict(zip(zip(edges["source"], edges["target"], strict=True), edges["score"], strict=True))
    assert not any(a == b for a, b in pairs)
    assert not {a for a, _ in pairs} & set(view.var_names[28:])
    rng = np.random.default_rng(3)
    mixed = take(view, rng.permutation(60), rng.permutation(30))
    mixed.uns = {**view.uns, "network": {"regulators": np.array([view.var_names[3], view.var_names[7]], object)}}
    restricted = read_table("network", call("infer-network", mixed, network_from=way, batch_size=7)[0])
    assert set(restricted["source"]) == {view.var_names[3], view.var_names[7]}
    for a, b, score in zip(*(restricted[name] for name in ("source", "target", "score")), strict=True):
        assert score == pytest.approx(pairs[a, b], abs=1e-5)
    if way != "attention":
        assert all(pairs[b, a] == pytest.approx(score) for (a, b), score in pairs.items())
    output, facts = call("infer-network", view, network_from=way, network_edges=20, network_genes=10, network_cells=30)
    few = read_table("network", output)
    assert len(few["score"]) == 20
    assert len(set(few["source"]) | set(few["target"])) <= 10
    assert len(facts["warnings"]) >= 3


def test_rankings_after_a_perturbation():
    ranking = np.array([7, 5, 9])
    assert perturbed_ranking(ranking, 5, "delete", 5).tolist() == [7, 9]
    assert perturbed_ranking(ranking, 4, "delete", 5) is None
    assert perturbed_ranking(np.array([5]), 5, "delete", 5) is None
    assert perturbed_ranking(ranking, 9, "overexpress", 3).tolist() == [9, 7, 5]
    assert perturbed_ranking(ranking, 4, "overexpress", 3).tolist() == [4, 7, 5]
    assert perturbed_ranking(ranking, 4, "overexpress", 4).tolist() == [4, 7, 5, 9]


@pytest.mark.parametrize("pooling", ["cls", "cell"])
def test_perturbation_against_one_cell_at_a_time(weights, call, view, pooling):
    from sceval.models.geneformer.checkpoint import load

    wanted = [view.var_names[3], "GENE4"]
    expected, loaded = {}, load(weights, {"pooling": pooling})
    genes = Genes.of(view)
    tokens = tokenize(view.X, genes, list(view.obs_names), loaded.vocabulary, {}, 0)
    ids = loaded.vocabulary.lookup(genes)
    for action in ("delete", "overexpress"):
        for column in (3, 4):
            shifts = []
            for row in range(60):
                own = tokens.genes_of(row)
                rest = own[own != ids[column]]
                if action == "delete" and len(rest) == len(own):
                    continue
                after = rest if action == "delete" else np.concatenate([ids[[column]], rest])
                vectors = []
                for ranking in (own, after):
                    with torch.no_grad():
                        x, at = loaded.network.contextual({"input_ids": torch.tensor([[2, *ranking, 3]])})
                    vectors.append(x[0, 0] if pooling == "cls" else x[0, (at[0] >= 0) & (at[0] != ids[column])].mean(0))
                shifts.append(1 - float(torch.cosine_similarity(*(v.double() for v in vectors), dim=0)))
            expected[action, view.var_names[column]] = np.mean(shifts), len(shifts)
    for action in ("delete", "overexpress"):
        output, _ = call(
            *("perturb-insilico", view),
            perturb_genes=",".join(wanted),
            perturbation=action,
            pooling=pooling,
            batch_size=7,
        )
        table = read_table("insilico", output)
        assert set(table["action"]) == {action}
        for gene, shift, n in zip(table["gene"], table["shift"], table["n_cells"], strict=True):
            assert (shift, n) == pytest.approx(expected[action, gene], abs=1e-6)


def test_perturbation_towards_a_goal_and_what_is_refused(call, view):
    view.obs["cell_type"] = sample_types(60, 3)
    output, _ = call("perturb-insilico", view, perturb_most=4, perturb_cells=20, goal="type1")
    table = read_table("insilico", output)
    assert len(table["gene"]) == 4
    assert np.isfinite(table["toward_goal"]).all()
    assert (table["n_cells"] <= 20).all()
    assert "no usable cell is of the type 'none'" in call("perturb-insilico", view, goal="none", code=99)
    assert "NOPE is no gene" in call("perturb-insilico", view, perturb_genes="NOPE,GENE1", code=99)


def test_mouse_cells_need_the_switch(call, view):
    view.uns["sceval"]["organism"] = "mouse"
    assert "mouse" in call("embed-cells", view, code=99)


def test_sizes_that_do_not_fit(call, view):
    assert "not divisible by 3" in call("annotate", view, "scratch", n_heads=3, code=1)
    assert INFO.regimes["annotate"] == ("frozen", "finetune", "scratch")
