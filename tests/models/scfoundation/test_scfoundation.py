from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from sceval.data.genes import Genes
from sceval.models.scfoundation.checkpoint import load, save
from sceval.models.scfoundation.inference import expected_counts, mean_gene_vectors
from sceval.models.scfoundation.tokens import Target, tokenize
from sceval.models.scfoundation.vocabulary import GENE_LIST, Vocabulary, VocabularyError
from sceval.models.transformer.encode import vectors_of
from sceval.models.transformer.loading import CheckpointError

CPU = torch.device("cpu")


def cell_vectors(network, tokens, place, pool=None, batch_size=32):
    """Vectors of all cells as the shared verb makes them."""
    rows = np.flatnonzero(tokens.usable)
    settings = {"batch_size": batch_size}
    return vectors_of(lambda batch: network.encode(batch, pool), tokens, rows, place, settings)


def tokens_of(made, order=None, columns=None, **settings):
    order = np.arange(len(made.cells)) if order is None else order
    columns = np.arange(made.counts.shape[1]) if columns is None else columns
    genes = Genes.from_symbols([made.genes.symbols[i] for i in columns])
    counts = made.counts[order][:, columns]
    return tokenize(counts, genes, [made.cells[i] for i in order], made.vocabulary, settings)


def test_a_cell_is_the_same_in_any_order_company_and_batch_size(small):
    made = small()
    want = cell_vectors(made.network, tokens_of(made), CPU)
    order, columns = made.rng.permutation(20), made.rng.permutation(30)
    for size in (1, 7, 20):
        got = cell_vectors(made.network, tokens_of(made, order, columns), CPU, batch_size=size)
        np.testing.assert_allclose(got, want[order], atol=2e-5)


@pytest.mark.parametrize("pool", ["all", "max"])
def test_gene_vectors_and_counts_do_not_depend_on_the_batch_of_the_decoder(small, pool):
    made = small()
    tokens, genes = tokens_of(made, target_depth="f1"), np.arange(0, 30, 2)
    rows = np.arange(9)
    one = mean_gene_vectors(made.network, tokens, rows, genes, CPU)
    np.testing.assert_allclose(
        mean_gene_vectors(made.network, tokens, rows[::-1], genes, CPU, cells_at_once=4), one, atol=1e-5
    )
    counts = expected_counts(made.network, tokens, rows, np.arange(30), CPU, cells_at_once=5)
    np.testing.assert_allclose(
        counts, expected_counts(made.network, tokens, rows, np.arange(30), CPU), atol=1e-3, rtol=1e-3
    )
    assert (counts >= 0).all()
    np.testing.assert_allclose(counts.sum(1), tokens.totals[rows], rtol=1e-5)
    assert cell_vectors(made.network, tokens, CPU, pool=pool).shape == (20, 32 if pool == "all" else 8)


def test_a_mask_code_hides_what_it_stands_for(small):
    """The value at a masked position has no way into the output; at any other it has."""
    made = small()
    embed = made.network.token_emb
    out = embed(torch.tensor([102.0, 103.0, 1.0]))
    torch.testing.assert_close(out[0], embed.emb_mask.weight[0])
    torch.testing.assert_close(out[1], embed.emb_pad.weight[0])
    assert not torch.allclose(out[2], embed(torch.tensor([2.0]))[0])


def test_columns_of_one_gene_are_added_and_unknown_genes_leave_the_total(small):
    made = small()
    counts = sp.csr_matrix(np.array([[3, 1, 2, 5]], np.float32))
    genes = Genes.from_symbols(["GENE4", "GENE1", "GENE4", "NOBODY"])
    tokens = tokenize(counts, genes, ["a"], made.vocabulary, {"target_depth": "f2"})
    batch = tokens.batch(np.array([0]))
    assert batch["gene_ids"].tolist() == [[1, 4, 30, 31]]
    np.testing.assert_allclose(batch["values"][0], [np.log1p(1e4 / 6), np.log1p(5e4 / 6), np.log10(12), np.log10(6)])
    assert tokens.recognised == 0.75


def test_a_cell_with_one_count_keeps_its_token_of_source_depth(small):
    """Log10 of 1 is 0, and upstream drops values that are not above 0: the next tokens would stand in for S and T."""
    made = small()
    counts = sp.csr_matrix(([1.0], ([0], [7])), shape=(1, 30))
    batch = tokenize(counts, made.genes, ["a"], made.vocabulary, {}).batch(np.array([0]))
    assert batch["gene_ids"].tolist() == [[7, 30, 31]]
    assert batch["values"][0, 2] == 0


@pytest.mark.parametrize("text", ["", "x4", "t", "f0", "f-1", "tnan"])
def test_unknown_target_depths_are_refused(text):
    with pytest.raises(ValueError, match="target depth"):
        Target.parse(text)


def test_round_trip_of_a_checkpoint(small, tmp_path):
    made, other = small(), small(seed=1)
    save(tmp_path, {"cell": made.network, "gene": other.network}, made.vocabulary)
    for name, network in (("cell", made.network), ("gene", other.network)):
        loaded = load(tmp_path, {"version": name})
        assert loaded.vocabulary == made.vocabulary
        for key, value in network.state_dict().items():
            torch.testing.assert_close(loaded.network.state_dict()[key], value)
    with pytest.raises(CheckpointError, match="no network 'rde'; the file holds cell, gene"):
        load(tmp_path, {"version": "rde"})


def rewrite(folder, change):
    path = folder / "models.ckpt"
    content = torch.load(path, weights_only=True)
    change(content["cell"])
    torch.save(content, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: part["state_dict"].pop("model.norm.bias"), "norm.bias: not in the file"),
        (
            lambda part: part["state_dict"].update({"model.to_final.weight": torch.zeros(1, 5)}),
            "to_final.weight: 1 x 5 in the file, 1 x 12 needed",
        ),
        (
            lambda part: part["state_dict"].update({"model.encoder.extra": torch.zeros(2)}),
            "encoder.extra: unknown to the network",
        ),
        (
            lambda part: part["config"]["model_config"]["mae_autobin"]["encoder"].update(hidden_dim=16),
            "encoder.hidden_dim is 16 in the config, 8 in the tensors",
        ),
        (
            lambda part: part["config"]["model_config"]["mae_autobin"]["decoder"].update(module_type="reformer"),
            "decoder is a reformer",
        ),
        (lambda part: part["config"].pop("model"), "this is no scFoundation network"),
        (lambda part: part.pop("config"), "no config and state_dict"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_with_what_is_wrong(small, tmp_path, change, message):
    made = small()
    save(tmp_path, made.network, made.vocabulary)
    rewrite(tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_damaged_foreign_and_missing_files(small, tmp_path):
    made = small()
    with pytest.raises(CheckpointError, match=r"no OS_scRNA_gene_index.*non-commercial"):
        load(tmp_path)
    save(tmp_path, made.network, Vocabulary(made.vocabulary.genes[:-1]))
    with pytest.raises(CheckpointError, match=r"30 genes, T, S, padding.*list has 29"):
        load(tmp_path)
    (tmp_path / GENE_LIST).write_text("symbol\nGENE0\n")
    with pytest.raises(CheckpointError, match="expected a header"):
        load(tmp_path)
    made.vocabulary.write(tmp_path / GENE_LIST)
    (tmp_path / "models.ckpt").write_bytes((tmp_path / "models.ckpt").read_bytes()[:999])
    with pytest.raises(CheckpointError, match="999 bytes; truncated"):
        load(tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "models.ckpt")
    with pytest.raises(CheckpointError, match="expected a dictionary with networks cell, rde, gene"):
        load(tmp_path)


def test_a_gene_list_in_another_order_is_refused(tmp_path):
    (tmp_path / GENE_LIST).write_text("gene_name\tindex\nA\t1\n")
    with pytest.raises(VocabularyError, match="line 2: expected a gene and index 0"):
        Vocabulary.read(tmp_path / GENE_LIST)
    with pytest.raises(VocabularyError, match="1 genes of the list are there twice"):
        Vocabulary(("A", "A"))
