"""Equal numbers to those that the official code computed (fixture beside the repository)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sceval.data.genes import Genes

FOLDER = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "scfoundation"


@pytest.fixture(scope="module")
def expected():
    if not (FOLDER / "expected.npz").is_file():
        pytest.skip("no ../shared/parity/scfoundation beside the repository")
    with np.load(FOLDER / "expected.npz") as content:
        return {name: content[name] for name in content.files}


@pytest.fixture(scope="module")
def cells(expected):
    import anndata

    data = anndata.read_h5ad(FOLDER / "input.h5ad")
    return data.X.tocsr(), Genes.from_symbols(data.var_names), list(data.obs_names)


@pytest.fixture(scope="module")
def networks(expected):
    from sceval.models.scfoundation.checkpoint import load

    return {name: load(FOLDER, {"version": name}) for name in ("cell", "rde", "gene")}


@pytest.fixture(scope="module")
def make(cells, networks):
    """Tokens of cells under the given settings."""
    from sceval.models.scfoundation.tokens import tokenize

    def build(rows=slice(None), counts=None, **settings):
        matrix, genes, ids = cells
        matrix = matrix if counts is None else counts
        return tokenize(matrix[rows], genes, ids[rows], networks["cell"].vocabulary, settings)

    return build


def close(actual, expected, limit):
    actual = np.asarray(actual, dtype=np.float64)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected).max()
    assert error <= limit, f"largest difference {error:.3g} above {limit:g}"


def embed(network, tokens, pool="all", size=7):
    """Cell vectors in padded mini-batches (the official code takes one cell at a time)."""
    import torch

    rows = np.arange(tokens.matrix.shape[0])
    parts = np.array_split(rows, -(-rows.size // size))
    with torch.no_grad():
        return np.concatenate([network.encode(tensors(tokens, part), pool) for part in parts])


def tensors(tokens, rows, **options):
    import torch

    return {name: torch.from_numpy(array) for name, array in tokens.batch(rows, **options).items()}


def test_tokens(expected, make):
    tokens = make(target_depth="t4")
    offsets = expected["nnz_offsets"]
    np.testing.assert_array_equal(np.r_[0, np.cumsum(tokens.lengths)], offsets)
    close(tokens.totals, expected["total_counts_listed_genes"], 1e-6)
    for row in range(offsets.size - 1):
        batch, part = tokens.batch(np.array([row])), slice(offsets[row], offsets[row + 1])
        np.testing.assert_array_equal(batch["gene_ids"][0], expected["nnz_gene_ids"][part])
        close(batch["values"][0], expected["nnz_values"][part], 1e-6)


def test_value_embedding(expected, networks):
    import torch

    values = torch.from_numpy(expected["nnz_values"])
    offsets, embedding = expected["nnz_offsets"], networks["cell"].network.token_emb
    with torch.no_grad():
        close(embedding(values[: offsets[10]]), expected["value_embedding_first10"], 2e-5)
        for cell in (0, 5):
            own = values[offsets[cell] : offsets[cell + 1]]
            close(embedding.bin_weights(own), expected[f"bin_weights_cell{cell}"], 2e-5)
        special = torch.from_numpy(expected["special_values_in"])
        close(embedding(special), expected["special_values_embedding"], 2e-5)
        close(embedding.bin_weights(special), expected["special_values_bin_weights"], 2e-5)


def test_encoder_output(expected, make, networks):
    import torch

    tokens, offsets = make(target_depth="t4"), expected["nnz_offsets"]
    batch = tensors(tokens, np.arange(28))
    with torch.no_grad():
        hidden, _ = networks["cell"].network.contextual(batch)
    for row in range(28):
        close(hidden[row, : tokens.lengths[row]], expected["encoder_output"][offsets[row] : offsets[row + 1]], 2e-5)


@pytest.mark.parametrize(
    ("name", "version", "settings", "pool"),
    [
        ("cell_all_t4", "cell", {"target_depth": "t4"}, "all"),
        ("cell_max_t4", "cell", {"target_depth": "t4"}, "max"),
        ("cell_all_a5", "cell", {"target_depth": "a5"}, "all"),
        ("cell_all_f2", "cell", {"target_depth": "f2"}, "all"),
        ("rde_all_t4.5", "rde", {"target_depth": "t4.5"}, "all"),
    ],
)
def test_cell_embedding(expected, make, networks, name, version, settings, pool):
    close(embed(networks[version].network, make(**settings), pool), expected[name], 2e-5)


def test_cells_that_are_log_normalized_already(expected, make, networks):
    import scipy.sparse as sp

    raw = make(target_depth="t4")
    columns, logs = raw.positions, raw.matrix.astype(np.float64)
    logs.data = np.log1p(logs.data * np.repeat(raw.factor, np.diff(logs.indptr))).astype(np.float32)
    vocabulary = networks["cell"].vocabulary
    from sceval.models.scfoundation.tokens import tokenize

    genes = Genes.from_symbols([vocabulary.genes[i] for i in columns])
    settings = {"target_depth": "t4", "pre_normalized": True}
    tokens = tokenize(sp.csr_matrix(logs, dtype=np.float32), genes, [str(i) for i in range(28)], vocabulary, settings)
    close(embed(networks["cell"].network, tokens), expected["cell_all_t4_prenormalized"], 2e-5)


@pytest.mark.parametrize(("name", "given", "pool"), [("bulk_all_F", False, "all"), ("bulk_max_T", True, "max")])
def test_bulk(expected, make, networks, name, given, pool):
    tokens = make(slice(0, 4), input="bulk", pre_normalized=given)
    close(embed(networks["cell"].network, tokens, pool), expected[name], 2e-5)


@pytest.mark.parametrize("mode", ["cell", "batch"])
def test_decoder(expected, make, networks, mode):
    """The maximum over a cell gives, in any mini-batch, what upstream gives for one cell at a time."""
    import torch

    network, rows = networks["gene"].network, expected["gene_rows"]
    with torch.no_grad():
        vectors = network.gene_vectors(tensors(make(target_depth="f1"), expected["gene_cells"]), mode)
        name = "gene_embedding_f1" if mode == "cell" else "gene_batch_embedding_f1"
        close(vectors[:, rows], expected[name], 1e-4)
        assert np.abs(vectors[:, rows].numpy() - expected[name]).max() < 1e-5  # closer than the two modes are
        if mode == "cell":
            close(network.to_final(vectors).squeeze(-1)[:, rows], expected["gene_expression_f1"], 1e-4)
            close(vectors.mean(dim=0)[rows], expected["gene_embedding_mean_over_cells_f1"], 1e-4)


def test_pool_of_the_fine_tuning_example(expected, make, networks):
    import torch

    batch = tensors(make(target_depth="t4"), np.arange(6), depth_tokens=False)
    with torch.no_grad():
        close(networks["cell"].network.max_pool(batch), expected["finetune_pool_masked_first6"], 2e-5)
        batch["gene_ids"][batch["pad_mask"]] = 103  # upstream's gene at padding
        close(networks["cell"].network.max_pool(batch, padding=True), expected["finetune_pool_upstream_first6"], 2e-5)
