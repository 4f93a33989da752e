"""UCE against the numbers of the official code (../shared/parity/uce), within the tolerances of its read-me."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sceval.data.genes import Genes
from sceval.models.uce.checkpoint import load
from sceval.models.uce.tokens import expressing, frequent, sampling_weights, tokenize


@pytest.fixture(scope="module")
def loaded(parity):
    return load(parity.folder, parity.settings, 0)


@pytest.fixture(scope="module")
def kept(parity, loaded):
    """Genes and cells that upstream's filters and the protein files leave."""
    genes = frequent(parity.counts, 10)
    cells = expressing(parity.counts, genes) >= 25
    return genes & (loaded.vocabulary.lookup(parity.genes) >= 0), cells


def tensors(batch):
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


def batch_of(tokens, padded=None):
    """A mini-batch of the fixture's tokens, cut to its longest sentence."""
    lengths = (tokens != 0).sum(1)
    batch = {"input_ids": tokens[:, : lengths.max()].astype(np.int64), "lengths": lengths}
    return tensors(batch if padded is None else batch | {"padded": np.full(len(tokens), padded)})


def unit_error(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=2e-5)


def test_cells_and_genes_kept(parity, kept):
    genes, cells = kept
    assert [s for s, keep in zip(parity.genes.symbols, genes, strict=True) if keep] == list(
        parity.expected["genes_kept"]
    )
    assert [c for c, keep in zip(parity.cells, cells, strict=True) if keep] == list(parity.expected["cells_kept"])


def test_genes_in_the_table_and_the_genome(parity, loaded, kept):
    codes, starts = loaded.vocabulary.places(parity.genes)
    np.testing.assert_array_equal(loaded.vocabulary.lookup(parity.genes)[kept[0]], parity.expected["gene_token_rows"])
    np.testing.assert_array_equal(codes[kept[0]], parity.expected["gene_chromosome_codes"])
    np.testing.assert_array_equal(starts[kept[0]], parity.expected["gene_starts"])


def test_constants(parity, loaded):
    offset, rows, table, sample, _, _, heads = parity.expected["constants"]
    assert loaded.vocabulary.chromosome_offset == offset == parity.config["CHROM_TOKEN_OFFSET"]
    assert loaded.network.pe_embedding.num_embeddings == table == offset + rows
    assert loaded.network.config.n_heads == heads
    assert parity.settings["sample_size"] == sample


def test_sampling_probability(parity, kept):
    counts = parity.counts[kept[1]][:, kept[0]].toarray()
    found = np.stack([sampling_weights(row) for row in counts])
    np.testing.assert_allclose(found, parity.expected["sampling_probability"], rtol=0, atol=1e-6)


def sentences(parity, loaded, **settings):
    """Sentences by the official filters, as the verb makes them."""
    genes = frequent(parity.counts, 10)
    names = Genes.from_symbols([s for s, keep in zip(parity.genes.symbols, genes, strict=True) if keep], "human")
    settings = parity.settings | settings
    seed = parity.config["numpy_seed"]
    return tokenize(parity.counts[:, genes], names, parity.cells, loaded.vocabulary, settings, seed)


def test_sentences(parity, loaded, kept):
    tokens = sentences(parity, loaded)
    expected = parity.expected
    np.testing.assert_array_equal(tokens.usable, kept[1])
    rows = np.flatnonzero(tokens.usable)
    np.testing.assert_array_equal(tokens.lengths[rows], expected["sentence_length"])
    batch = tokens.batch(rows)
    width = batch["input_ids"].shape[1]
    np.testing.assert_array_equal(batch["input_ids"], expected["tokens"][:, :width])
    assert (expected["tokens"][:, width:] == 0).all()
    np.testing.assert_array_equal(
        np.arange(expected["tokens"].shape[1]) < batch["lengths"][:, None], expected["token_mask"] == 1
    )


@torch.no_grad()
def test_masked_padding(parity, loaded):
    """The default: equal to the unpadded run and to a proper mask, whatever is padded."""
    tokens, network = parity.expected["tokens"], loaded.network
    for name in ("embedding_unpadded", "embedding_boolean_mask"):
        unit_error(network.encode(batch_of(tokens)), parity.expected[name])
    alone = torch.cat([network.encode(batch_of(row[None])) for row in tokens])
    unit_error(alone, parity.expected["embedding_unpadded"])
    full = batch_of(tokens) | {"input_ids": torch.from_numpy(tokens.astype(np.int64))}
    unit_error(network.encode(full), parity.expected["embedding_unpadded"])


@torch.no_grad()
def test_upstream_padding(parity, loaded):
    """Mini-batches of the official size in the order of the file, whatever mini-batches we make of them."""
    expected, network = parity.expected, loaded.network
    size = int(expected["batch_size"])
    parts = [expected["tokens"][i : i + size] for i in range(0, len(expected["tokens"]), size)]
    longest = [int((part != 0).sum(1).max()) for part in parts]
    found = torch.cat([network.encode(batch_of(p, n)) for p, n in zip(parts, longest, strict=True)])
    unit_error(found, expected["embedding_upstream_batched"])
    assert np.abs(found.numpy() - expected["embedding_unpadded"]).max() > 1e-3
    unit_error(network.encode(batch_of(expected["tokens"], max(longest))), expected["embedding_upstream_single_batch"])


@pytest.mark.parametrize("name", ["embedding_upstream_batched", "embedding_upstream_single_batch"])
@torch.no_grad()
def test_from_counts_to_upstream_vectors(parity, loaded, name):
    size = int(parity.expected["batch_size"]) if name.endswith("batched") else len(parity.cells)
    tokens = sentences(parity, loaded, padding="upstream", upstream_batch=size)
    rows = np.flatnonzero(tokens.usable)[::-1].copy()
    found = loaded.network.encode(tensors(tokens.batch(rows))).numpy()[::-1]
    unit_error(found, parity.expected[name])


@torch.no_grad()
def test_decoder_output(parity, loaded):
    expected = parity.expected["decoder_output_first_batch"]
    first = parity.expected["tokens"][: expected.shape[1]]
    found = loaded.network.decoded(batch_of(first, expected.shape[0])).transpose(0, 1).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    unit_error(
        F.normalize(torch.from_numpy(found[0]), dim=1), parity.expected["embedding_upstream_batched"][: len(first)]
    )


@torch.no_grad()
def test_binary_logits(parity, loaded):
    cells = torch.from_numpy(parity.expected["embedding_unpadded"])
    n_genes = parity.expected["binary_logits_raw_gene_vector"].shape[1]
    raw = loaded.network.pe_embedding(torch.from_numpy(parity.expected["gene_token_rows"][:n_genes]))
    for name, vectors in (("raw", raw), ("unit", F.normalize(raw, dim=1))):
        found = torch.stack([loaded.network.expressed(cells, v.expand(len(cells), -1)) for v in vectors], dim=1)
        np.testing.assert_allclose(
            found.numpy(), parity.expected[f"binary_logits_{name}_gene_vector"], rtol=0, atol=1e-4
        )
