from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.models.request import NotApplicable
from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.checkpoint import load_checkpoint
from sceval.models.scgpt.prepare import Notes, zero_shot_tokens
from sceval.models.scgpt.recipe import resolve
from sceval.models.transformer.embed import embed_cells
from sceval.models.transformer.genes import embed_genes


@pytest.fixture
def embed(session_of):
    """Embed some cells of a small dataset; returns vectors, facts and warnings."""

    def run(made, rows=None, **params):
        rows = np.arange(len(made.cells)) if rows is None else np.asarray(rows)
        cells = [made.cells[i] for i in rows]
        network = (made.model, made.vocabulary)
        session = session_of(
            "embed-cells", "zero_shot", made.counts[rows], made.symbols, cells, network=network, **params
        )
        return SimpleNamespace(X=embed_cells(session), facts=session.facts, warnings=session.warnings)

    return run


@pytest.mark.parametrize("checkpoint", ["ckpt_flash", "ckpt_native", "ckpt_impl"])
def test_whole_path_equals_official(parity, parity_input, close, session_of, checkpoint):
    z = parity.expected("zeroshot")
    session = session_of(
        *("embed-cells", "zero_shot", parity_input.counts, parity_input.symbols, parity_input.cells),
        weights=parity.folder / checkpoint,
        max_length=int(z["full_max_length"]),
        gene_names="exact",
    )
    X = embed_cells(session)
    close(X, z["full_one_cls_norm"])
    assert (np.einsum("ij,ij->i", X, z["full_one_cls_norm"]) > 1 - 1e-6).all()
    share = parity.expected("preprocess")["in_vocab"].mean()
    assert session.facts["genes_recognised"] == pytest.approx(share, abs=1e-6)


def test_tokens_equal_official(parity, parity_input):
    z = parity.expected("zeroshot")
    _, vocabulary, _, _ = load_checkpoint(parity.folder / "ckpt_flash")
    params = resolve("embed-cells", "zero_shot", {})
    cells, notes, ids = parity_input.cells, Notes(), vocabulary.lookup(parity_input.symbols)
    tokens = zero_shot_tokens(parity_input.counts, ids, cells, vocabulary, params, 0, notes)
    np.testing.assert_array_equal(tokens.expressed, z["n_expressed_in_vocab"])
    batch = tokens.batch(np.arange(len(cells)))
    np.testing.assert_array_equal(batch.gene_ids, z["full_one_gene_ids"])
    np.testing.assert_array_equal(batch.values, z["full_one_values"])
    np.testing.assert_array_equal(batch.pad_mask, z["full_one_pad_mask"])
    kept = vocabulary.lookup(parity_input.symbols) >= 0
    matrix = parity_input.counts[:, kept]
    uniforms = np.random.RandomState(int(z["full_both_np_seed"])).rand(matrix.nnz)
    drawn, _ = bin_rows(matrix, params["n_bins"], rule="both", uniforms=uniforms)
    expected = z["full_both_values"][:, 1:][~z["full_both_pad_mask"][:, 1:]]
    np.testing.assert_array_equal(drawn.data, expected)
    params["max_length"] = int(z["sampled_max_length"])
    cut = zero_shot_tokens(parity_input.counts, ids, cells, vocabulary, params, 0, notes)
    part = cut.batch(np.arange(len(cells)))
    assert part.gene_ids.shape == z["sampled_one_gene_ids"].shape
    for i in range(len(cells)):
        full = dict(zip(batch.gene_ids[i], batch.values[i], strict=True))
        kept = ~part.pad_mask[i]
        assert len(set(part.gene_ids[i, kept])) == kept.sum() == (~z["sampled_one_pad_mask"][i]).sum()
        assert all(full[g] == v for g, v in zip(part.gene_ids[i, kept], part.values[i, kept], strict=True))


@pytest.mark.parametrize("binning", ["one", "both"])
@pytest.mark.parametrize("max_length", [1200, 9])
def test_a_vector_depends_on_its_cell_alone(small, embed, binning, max_length):
    made = small()
    options = {"binning": binning, "max_length": max_length}
    whole = embed(made, **options).X
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    for size in (1, 5):
        np.testing.assert_allclose(embed(made, batch_size=size, **options).X, whole, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(made.cells))
    np.testing.assert_allclose(embed(made, order, **options).X, whole[order], atol=1e-5)
    np.testing.assert_allclose(embed(made, [4], **options).X, whole[[4]], atol=1e-5)
    again = embed(made, **options).X
    np.testing.assert_array_equal(again, whole)
    other = embed(made, seed=1, **options).X
    assert (np.abs(other - whole).max() > 1e-3) == (binning == "both" or max_length == 9)


def test_order_of_genes_and_unknown_genes_change_nothing(small, embed):
    made = small()
    whole = embed(made, max_length=9).X
    order = np.random.default_rng(0).permutation(len(made.symbols))
    noise = sp.csr_matrix(np.full((len(made.cells), 2), 7.0, dtype=np.float32))
    made.counts = sp.hstack([noise, made.counts[:, order]]).tocsr()
    made.symbols = ["gene1", "<pad>", *(made.symbols[i] for i in order)]
    found = embed(made, max_length=9)
    np.testing.assert_allclose(found.X, whole, atol=1e-5)
    assert found.facts["genes_recognised"] == pytest.approx(30 / 32, abs=1e-6)


def test_integer_counts_and_explicit_zeros_are_taken(small, embed):
    made = small()
    whole = embed(made).X
    made.counts = made.counts.astype(np.uint16)
    np.testing.assert_allclose(embed(made).X, whole, atol=1e-6)
    dense = made.counts.toarray()
    rows, columns = np.indices(dense.shape)
    made.counts = sp.csr_matrix((dense.ravel().astype(float), (rows.ravel(), columns.ravel())), dense.shape)
    np.testing.assert_allclose(embed(made).X, whole, atol=1e-6)


def test_a_cell_without_known_gene_gets_nan_and_a_warning(small, embed):
    made = small()
    whole = embed(made).X
    made.counts = made.counts.tolil()
    made.counts[3] = 0
    made.counts = made.counts.tocsr()
    found = embed(made)
    assert np.isnan(found.X[3]).all()
    others = np.arange(len(made.cells)) != 3
    np.testing.assert_allclose(found.X[others], whole[others], atol=1e-5)
    assert any("1 cells express no gene" in w and "cell3" in w for w in found.warnings)
    assert found.facts["cells_without_known_gene"] == 1


@pytest.mark.parametrize(
    ("symbols", "hint"), [("ENSG0000{}", "Ensembl ids"), ("Actb{}", "mouse symbols"), ("XYZ{}", "'XYZ0'")]
)
def test_no_known_gene_at_all_is_told_with_a_hint(small, embed, symbols, hint):
    made = small()
    made.symbols = [symbols.format(i) for i in range(len(made.symbols))]
    with pytest.raises(NotApplicable, match=f"0.0% of the 30 genes.*{hint}"):
        embed(made)


def test_columns_of_one_gene_are_added_up(small, embed):
    made = small()
    whole = embed(made).X
    half = made.counts[:, [4]] * 0.5
    made.counts = sp.hstack([made.counts[:, :4], half, made.counts[:, 5:], half]).tocsr()
    made.symbols = [*made.symbols, made.symbols[4]]
    np.testing.assert_allclose(embed(made).X, whole, atol=1e-5)


def test_cut_cells_are_counted(small, embed):
    assert any("more than 4 genes" in w for w in embed(small(), max_length=5).warnings)


def test_per_batch_normalization_takes_the_branch_of_each_cell(small, session_of):
    made = small(n_domains=2, n_batches=2)
    for k, norm in enumerate(made.model.dsbn.bns):
        torch.nn.init.constant_(norm.running_mean, 0.1 * k)

    def embed_as(codes):
        network = (made.model, made.vocabulary)
        session = session_of("embed-cells", "zero_shot", made.counts, made.symbols, made.cells, network=network)
        return embed_cells(session, lambda rows: replace(session.tokenize(rows), groups=codes[rows]))

    mixed, first = embed_as(np.arange(24) % 2), embed_as(np.zeros(24, int))
    np.testing.assert_allclose(mixed[::2], first[::2], atol=1e-5)
    assert np.abs(mixed[1::2] - first[1::2]).max() > 1e-4


def test_gene_vectors_are_those_of_the_table_and_of_the_outputs(small, session_of):
    made = small()
    network = (made.model, made.vocabulary)

    def vectors(kind):
        arrays = (made.counts, made.symbols, made.cells)
        return embed_genes(session_of("embed-genes", "zero_shot", *arrays, network=network, gene_vectors=kind)).X

    with torch.no_grad():
        table = made.model.encoder(torch.arange(30)).numpy()
    np.testing.assert_allclose(vectors("static"), table, atol=1e-6)
    session = session_of("embed-genes", "zero_shot", made.counts, made.symbols, made.cells, network=network)
    tokens = session.tokenize()
    sums, counts = np.zeros((30, 16)), np.zeros(30)
    for row in range(24):
        own = tokens.tokenizer.batch(np.array([row]))
        ids, values = torch.from_numpy(own.gene_ids), torch.from_numpy(own.values)
        with torch.no_grad():
            _, total = made.model.embed_inputs(ids, values)
            hidden = made.model.transformer_encoder(total, None)[0].numpy()
        for gene, vector in zip(own.gene_ids[0, 1:], hidden[1:], strict=True):
            sums[gene] += vector
            counts[gene] += 1
    np.testing.assert_allclose(vectors("contextual"), sums / counts[:, None], atol=1e-5)


def test_mixed_mini_batch_is_refused_by_the_network(small):
    made = small(n_domains=2, n_batches=2)
    ids, values = torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3)
    with pytest.raises(ValueError, match="single batch"):
        made.model.encode_cells(ids, values, None, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="batch_labels are needed"):
        made.model.encode_cells(ids, values)


def test_the_short_cut_for_cell_vectors_equals_the_full_pass(small):
    made = small(n_layers=3)
    torch.manual_seed(0)
    ids, values = torch.randint(0, 30, (5, 8)), torch.rand(5, 8) * 50
    pad = torch.zeros(5, 8, dtype=torch.bool)
    pad[1, 5:] = True
    with torch.no_grad():
        full = made.model(ids, values, pad).cell
        torch.testing.assert_close(made.model.encode_cells(ids, values, pad), full)
        ids[1, 5:], values[1, 5:] = 7, 33.0
        torch.testing.assert_close(made.model.encode_cells(ids, values, pad), full)
