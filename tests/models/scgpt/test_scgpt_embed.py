from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.models.scgpt.binning import bin_rows
from sceval.models.scgpt.checkpoint import load_checkpoint
from sceval.models.scgpt.embed import embed_cells
from sceval.models.scgpt.prepare import NoKnownGenes, Notes, zero_shot_tokens
from sceval.models.scgpt.recipe import resolve


def embed(made, rows=None, **params):
    rows = np.arange(len(made.cells)) if rows is None else np.asarray(rows)
    cells = [made.cells[i] for i in rows]
    seed = params.pop("seed", 0)
    counts = made.counts[rows]
    return embed_cells(made.model, made.vocabulary, counts, made.symbols, cells, params=params, device="cpu", seed=seed)


@pytest.mark.parametrize("checkpoint", ["ckpt_flash", "ckpt_native", "ckpt_impl"])
def test_whole_path_equals_official(parity, parity_input, close, checkpoint):
    z = parity.expected("zeroshot")
    model, vocabulary, _, _ = load_checkpoint(parity.folder / checkpoint)
    params = {"max_length": int(z["full_max_length"])}
    result = embed_cells(
        model, vocabulary, parity_input.counts, parity_input.symbols, parity_input.cells, params=params, device="cpu"
    )
    close(result.X, z["full_one_cls_norm"])
    assert (np.einsum("ij,ij->i", result.X, z["full_one_cls_norm"]) > 1 - 1e-6).all()
    share = parity.expected("preprocess")["in_vocab"].mean()
    assert result.notes.facts["genes_recognised"] == pytest.approx(share, abs=1e-6)


def test_tokens_equal_official(parity, parity_input):
    z = parity.expected("zeroshot")
    _, vocabulary, _, _ = load_checkpoint(parity.folder / "ckpt_flash")
    params = resolve("embed-cells", "zero_shot", {})
    cells, notes = parity_input.cells, Notes()
    tokens = zero_shot_tokens(parity_input.counts, parity_input.symbols, cells, vocabulary, params, 0, notes)
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
    cut = zero_shot_tokens(parity_input.counts, parity_input.symbols, cells, vocabulary, params, 0, notes)
    part = cut.batch(np.arange(len(cells)))
    assert part.gene_ids.shape == z["sampled_one_gene_ids"].shape
    for i in range(len(cells)):
        full = dict(zip(batch.gene_ids[i], batch.values[i], strict=True))
        kept = ~part.pad_mask[i]
        assert len(set(part.gene_ids[i, kept])) == kept.sum() == (~z["sampled_one_pad_mask"][i]).sum()
        assert all(full[g] == v for g, v in zip(part.gene_ids[i, kept], part.values[i, kept], strict=True))


@pytest.mark.parametrize("binning", ["one", "both"])
@pytest.mark.parametrize("max_length", [1200, 9])
def test_a_vector_depends_on_its_cell_alone(small, binning, max_length):
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


def test_order_of_genes_and_unknown_genes_change_nothing(small):
    made = small()
    whole = embed(made, max_length=9).X
    order = np.random.default_rng(0).permutation(len(made.symbols))
    noise = sp.csr_matrix(np.full((len(made.cells), 2), 7.0, dtype=np.float32))
    made.counts = sp.hstack([noise, made.counts[:, order]]).tocsr()
    made.symbols = ["gene1", "<pad>", *(made.symbols[i] for i in order)]
    found = embed(made, max_length=9)
    np.testing.assert_allclose(found.X, whole, atol=1e-5)
    assert found.notes.facts["genes_recognised"] == pytest.approx(30 / 32, abs=1e-6)


def test_integer_counts_and_explicit_zeros_are_taken(small):
    made = small()
    whole = embed(made).X
    made.counts = made.counts.astype(np.uint16)
    np.testing.assert_allclose(embed(made).X, whole, atol=1e-6)
    dense = made.counts.toarray()
    rows, columns = np.indices(dense.shape)
    made.counts = sp.csr_matrix((dense.ravel().astype(float), (rows.ravel(), columns.ravel())), dense.shape)
    np.testing.assert_allclose(embed(made).X, whole, atol=1e-6)


def test_a_cell_without_known_gene_gets_nan_and_a_warning(small):
    made = small()
    whole = embed(made).X
    made.counts = made.counts.tolil()
    made.counts[3] = 0
    made.counts = made.counts.tocsr()
    found = embed(made)
    assert np.isnan(found.X[3]).all()
    others = np.arange(len(made.cells)) != 3
    np.testing.assert_allclose(found.X[others], whole[others], atol=1e-5)
    assert any("1 cells express no gene" in w and "cell3" in w for w in found.notes.warnings)
    assert found.notes.facts["cells_without_known_gene"] == 1


@pytest.mark.parametrize(
    ("symbols", "hint"), [("ENSG0000{}", "Ensembl ids"), ("Actb{}", "mouse symbols"), ("XYZ{}", "first gene: 'XYZ0'")]
)
def test_no_known_gene_at_all_is_told_with_a_hint(small, symbols, hint):
    made = small()
    made.symbols = [symbols.format(i) for i in range(len(made.symbols))]
    with pytest.raises(NoKnownGenes, match=hint):
        embed(made)


def test_cut_cells_are_counted(small):
    assert any("more than 4 genes" in w for w in embed(small(), max_length=5).notes.warnings)


def test_per_batch_normalization_needs_known_batches(small):
    made = small(n_domains=2, n_batches=2)
    for k, norm in enumerate(made.model.dsbn.bns):
        torch.nn.init.constant_(norm.running_mean, 0.1 * k)
    with pytest.raises(ValueError, match="DSBN"):
        embed(made)
    args = (made.model, made.vocabulary, made.counts, made.symbols, made.cells)
    with pytest.raises(ValueError, match="DSBN"):
        embed_cells(*args, device="cpu", batch_codes=np.full(24, 2))
    mixed = embed_cells(*args, device="cpu", batch_codes=np.arange(24) % 2).X
    first = embed_cells(*args, device="cpu", batch_codes=np.zeros(24, int)).X
    np.testing.assert_allclose(mixed[::2], first[::2], atol=1e-5)
    assert np.abs(mixed[1::2] - first[1::2]).max() > 1e-4


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
