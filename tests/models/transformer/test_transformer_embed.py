"""Embedding of cells and genes by the shared verbs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers import make_view
from sceval import contract
from sceval.contract.h5ad import read
from sceval.contract.rows import CsrRows
from sceval.contract.sample import take
from sceval.models.request import NotApplicable
from sceval.models.transformer import embed as embed_module
from sceval.models.transformer import genes as genes_module
from sceval.models.transformer.embed import embed_cells
from sceval.models.transformer.genes import embed_genes


@pytest.mark.parametrize("max_length", [64, 5])
def test_a_vector_depends_on_its_cell_alone(made, max_length, monkeypatch):
    whole = embed_cells(made.session(max_length=max_length))
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    for size in (1, 7):
        again = embed_cells(made.session(max_length=max_length, batch_size=size))
        np.testing.assert_allclose(again, whole, atol=1e-5)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(embed_cells(made.session(rows=order, max_length=max_length)), whole[order], atol=1e-5)
    np.testing.assert_allclose(embed_cells(made.session(rows=[4], max_length=max_length)), whole[[4]], atol=1e-5)
    monkeypatch.setattr(embed_module, "BLOCK", 17)
    np.testing.assert_allclose(embed_cells(made.session(max_length=max_length)), whole, atol=1e-5)
    other = embed_cells(made.session(max_length=max_length, seed=1))
    assert (np.abs(other - whole).max() > 1e-3) == (max_length == 5)


def test_a_cell_without_known_gene_is_a_row_of_nan_and_a_warning(made):
    whole = embed_cells(made.session())
    made.counts = made.counts.tolil()
    made.counts[3] = 0
    made.counts = made.counts.tocsr()
    session = made.session()
    X = embed_cells(session)
    assert np.isnan(X[3]).all()
    np.testing.assert_allclose(np.delete(X, 3, axis=0), np.delete(whole, 3, axis=0), atol=1e-5)
    assert session.facts["cells_without_known_gene"] == 1
    assert any("1 cells express no gene" in text and "cell003" in text for text in session.warnings)


def test_no_cell_with_a_known_gene_at_all(made):
    made.counts = made.counts * 0
    made.counts.eliminate_zeros()
    assert np.isnan(embed_cells(made.session())).all()
    assert np.isnan(embed_genes(made.session("embed-genes")).X).all()


def test_vectors_of_length_one_where_the_network_asks_for_them(made):
    session = made.session()
    plain = embed_cells(session)
    session.loaded.network.unit_length = True
    scaled = embed_cells(session)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(scaled * np.linalg.norm(plain, axis=1, keepdims=True), plain, atol=1e-5)


def test_no_half_precision_on_a_cpu(made):
    session = made.session(mixed_precision=True)
    seen = []
    block = session.loaded.network.layers[0]
    block.register_forward_hook(lambda module, inputs, output: seen.append((output.dtype, torch.is_autocast_enabled())))
    embed_cells(session)
    assert set(seen) == {(torch.float32, False)}


def test_groups_never_share_a_mini_batch(made):
    session = made.session(batch_size=16)
    tokens = session.tokenize()
    tokens.groups = np.arange(60) % 4
    seen, plain = [], tokens.batch
    tokens.batch = lambda rows: seen.append(rows) or plain(rows)
    grouped = embed_cells(session, tokenize=lambda rows: tokens)
    assert all(len(set(rows % 4)) == 1 for rows in seen)
    assert sorted(np.concatenate(seen)) == list(range(60))
    np.testing.assert_allclose(grouped, embed_cells(made.session()), atol=1e-5)


def test_contextual_gene_vectors_are_means_over_the_cells_of_the_gene(made, monkeypatch):
    session = made.session("embed-genes", max_length=6)
    result = embed_genes(session)
    tokens, network = session.tokenize(), session.loaded.network
    sums, counts = np.zeros((30, 16)), np.zeros(30)
    for row in range(60):
        with torch.no_grad():
            batch = {name: torch.from_numpy(value) for name, value in tokens.batch(np.array([row])).items()}
            hidden, genes = network.contextual(batch)
        for vector, gene in zip(hidden[0].numpy(), genes[0].numpy(), strict=True):
            if gene >= 0:
                sums[gene] += vector
                counts[gene] += 1
    np.testing.assert_allclose(result.X, sums / counts[:, None], atol=1e-5)
    monkeypatch.setattr(genes_module, "BLOCK", 13)
    order = np.random.default_rng(0).permutation(60)
    other = embed_genes(made.session("embed-genes", rows=order, max_length=6, batch_size=3))
    np.testing.assert_allclose(other.X, result.X, atol=1e-5)


def test_static_gene_vectors_are_rows_of_the_table(made):
    made.genes.symbols[4] = "NOTAGENE"
    session = made.session("embed-genes", gene_vectors="static", columns=np.arange(30)[::-1])
    result = embed_genes(session)
    table = session.loaded.network.gene_table().detach().numpy()
    at = dict(zip(session.genes.symbols, result.X, strict=True))
    np.testing.assert_array_equal(at["GENE7"], table[7])
    assert np.isnan(at["NOTAGENE"]).all()
    assert session.facts["genes_without_vector"] == 1


def test_a_gene_in_no_cell_has_no_contextual_vector(made):
    made.counts = made.counts.tolil()
    made.counts[:, 9] = 0
    made.counts = made.counts.tocsr()
    result = embed_genes(made.session("embed-genes"))
    assert np.isnan(result.X[9]).all()
    assert np.isfinite(np.delete(result.X, 9, axis=0)).all()


def test_a_network_without_gene_vectors_says_so(made, monkeypatch):
    from toy.network import Toy

    from sceval.models.transformer.network import TransformerNetwork

    monkeypatch.setattr(Toy, "gene_table", TransformerNetwork.gene_table)
    with pytest.raises(NotApplicable, match="no table of gene vectors"):
        embed_genes(made.session("embed-genes", gene_vectors="static"))
    monkeypatch.setattr(Toy, "contextual", TransformerNetwork.contextual)
    with pytest.raises(NotApplicable, match="no contextual gene vectors"):
        embed_genes(made.session("embed-genes"))


def test_the_program_writes_cell_and_gene_embeddings_in_any_order(call):
    view = make_view(n=40, g=30, task="batch_integration")
    plain = call("embed-cells", "zero_shot", view)
    assert plain.exit_code == 0, plain.stderr
    cells = contract.read("cell_embedding", plain.output_path)
    assert cells.obsm["X_emb"].shape == (40, 16)
    assert plain.facts["genes_recognised"] == 1
    assert len(plain.facts["weights_sha256"]) == 64
    assert plain.facts["params_used"]["batch_size"] == 64
    view.X = view.X[:, ::-1].tocsr()
    view.var_names = view.var_names[::-1]
    view.var = {name: column[::-1] for name, column in view.var.items()}
    turned = call("embed-cells", "scratch", view)
    original = call("embed-cells", "scratch", make_view(n=40, g=30, task="batch_integration"))
    np.testing.assert_array_equal(read(turned.output_path).obsm["X_emb"], read(original.output_path).obsm["X_emb"])
    genes = call("embed-genes", "zero_shot", view)
    assert genes.exit_code == 0, genes.stderr
    found = contract.read("gene_embedding", genes.output_path)
    assert set(found.obs_names) == set(view.var_names)
    assert found.X.shape == (30, 16)


def test_genes_are_found_under_other_names_and_too_few_end_with_the_share(call, made):
    (made.folder / "genes.txt").write_text("\n".join(["SEPTIN2", *(f"GENE{i}" for i in range(1, 30))]))
    view = make_view(n=40, g=30, task="batch_integration")
    view.var["gene_symbol"][0] = "SEPT2"
    view.var["ensembl_id"][:] = ""
    found = call("embed-cells", "zero_shot", view)
    assert found.facts["genes_recognised"] == 1
    exact = call("embed-cells", "zero_shot", view, {"gene_names": "exact"})
    assert exact.facts["genes_recognised"] == pytest.approx(29 / 30, abs=1e-5)
    view.var["gene_symbol"][6:] = [f"XYZ{i}" for i in range(24)]
    few = call("embed-cells", "zero_shot", view)
    assert few.exit_code == 99
    assert "20.0% of the 30 genes" in few.stderr.splitlines()[-1]
    assert not few.output_path.exists()


def test_cells_of_another_organism_are_not_applicable(call):
    view = make_view(n=40, g=30, task="batch_integration")
    view.uns["sceval"]["organism"] = "mouse"
    result = call("embed-cells", "zero_shot", view)
    assert result.exit_code == 99
    assert "mouse" in result.stderr.splitlines()[-1]


def test_a_damaged_checkpoint_fails_with_a_message_and_no_output(call, made):
    (made.folder / "model.safetensors").write_bytes(b"cut")
    result = call("embed-cells", "zero_shot", make_view(n=40, g=30, task="batch_integration"))
    assert result.exit_code == 1
    assert "not a safetensors file" in result.stderr
    assert not result.output_path.exists()


def test_the_program_imports_no_torch_before_a_verb_needs_it():
    import subprocess
    import sys
    from pathlib import Path

    code = "import sys, toy.program; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent)
    assert run.returncode == 0


def test_a_large_view_is_embedded_from_its_file_block_by_block(call, monkeypatch):
    view = take(make_view(n=50, g=30), np.arange(50), np.random.default_rng(0).permutation(30))
    whole = read(call("embed-cells", "zero_shot", view).output_path).obsm["X_emb"]
    heights = []
    run = CsrRows._run

    def noted(self, node, start, stop):
        heights.append(stop - start)
        return run(self, node, start, stop)

    monkeypatch.setattr(CsrRows, "_run", noted)
    monkeypatch.setattr("sceval.models.program.STREAM_ABOVE", 0)
    monkeypatch.setattr("sceval.contract.rows.BLOCK", 16)
    monkeypatch.setattr(embed_module, "BLOCK", 16)
    result = call("embed-cells", "zero_shot", view)
    np.testing.assert_array_equal(read(result.output_path).obsm["X_emb"], whole)
    assert max(heights) == 16
    assert sum(heights) == 4 * 50  # three checks and the embedding
    heights.clear()
    call("annotate", "frozen", view)
    assert heights == []  # this verb asks for more than rows
