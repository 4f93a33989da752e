from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.models.scgpt.choice import HashChooser, LegacyChooser
from sceval.models.scgpt.preprocess import preprocess
from sceval.models.scgpt.tokens import CLS_VALUE_FINETUNE, CellTokenizer, mask_values
from sceval.models.scgpt.vocabulary import Vocabulary, VocabularyError
from sceval.training.seed import hash_ids


@pytest.fixture(scope="module")
def prepared(parity, parity_input):
    vocabulary = Vocabulary.read(parity.folder / "ckpt_flash" / "vocab.json")
    ids = vocabulary.lookup(parity_input.symbols)
    done = preprocess(parity_input.counts, ids >= 0, n_bins=parity.settings["n_bins"])
    return vocabulary, ids, done


def test_preprocessing_equals_official(parity, parity_input, prepared, close):
    z = parity.expected("preprocess")
    _, ids, done = prepared
    np.testing.assert_array_equal(ids >= 0, z["in_vocab"])
    np.testing.assert_array_equal(done.genes_kept, z["genes_kept"])
    close(done.normed.toarray(), z["X_normed_true"])
    close(done.log1p.toarray(), z["X_log1p"])
    # Upstream leaves this layer log-transformed, because it shares memory with the log1p layer.
    close(done.log1p.toarray(), z["X_normed_layer_as_left_by_upstream"])
    np.testing.assert_array_equal(done.binned.toarray(), z["X_binned_one"])
    close(np.hstack([np.zeros((done.edges.shape[0], 1)), done.edges]), z["bin_edges"])
    uniforms = np.random.RandomState(int(z["np_seed"])).rand(done.log1p.nnz)
    both = preprocess(parity_input.counts, ids >= 0, n_bins=parity.settings["n_bins"], rule="both", uniforms=uniforms)
    np.testing.assert_array_equal(both.binned.toarray(), z["X_binned_both"])


def tokenizer(prepared, *, keep_zeros, max_length, seed=0):
    vocabulary, ids, done = prepared
    return CellTokenizer(
        done.binned,
        ids[done.genes_kept],
        vocabulary,
        max_length=max_length,
        cls_value=CLS_VALUE_FINETUNE,
        keep_zeros=keep_zeros,
        chooser=LegacyChooser(seed),
    )


@pytest.mark.parametrize("kind", ["zeros_kept", "zeros_dropped", "sampled"])
def test_tokens_equal_official(parity, prepared, kind):
    z = parity.expected("tokens_finetune")
    np.testing.assert_array_equal(prepared[1][prepared[2].genes_kept], z["gene_ids_of_columns"])
    length = int(z["sampled_max_len"]) if kind == "sampled" else z["zeros_kept_gene_ids"].shape[1]
    tokens = tokenizer(prepared, keep_zeros=kind == "zeros_kept", max_length=length, seed=int(z["sampled_np_seed"]))
    batch = tokens.batch(np.arange(tokens.binned.shape[0]))
    np.testing.assert_array_equal(batch.gene_ids, z[f"{kind}_gene_ids"])
    np.testing.assert_array_equal(batch.values, z[f"{kind}_values"])
    np.testing.assert_array_equal(batch.pad_mask, z[f"{kind}_values"] == z["pad_value"])


@pytest.mark.parametrize("kind", ["zeros_kept", "zeros_dropped"])
def test_masking_equals_official(parity, prepared, kind):
    z = parity.expected("tokens_finetune")
    tokens = tokenizer(prepared, keep_zeros=kind == "zeros_kept", max_length=z["zeros_kept_gene_ids"].shape[1])
    rows = np.arange(tokens.binned.shape[0])
    chooser = LegacyChooser(int(z[f"{kind}_mask_np_seed"]))
    masked, mask = mask_values(tokens.batch(rows), rows, chooser, float(z["mask_ratio"]), float(z["mask_value"]))
    np.testing.assert_array_equal(masked, z[f"{kind}_masked_values"])
    np.testing.assert_array_equal(mask, z[f"{kind}_masked_values"] == z["mask_value"])


def random_tokens(order=None, *, keep_zeros=False, max_length=12, seed=3):
    rng = np.random.default_rng(0)
    binned = sp.csr_matrix(rng.integers(0, 3, (20, 40)).astype(np.float32))
    names = np.array([f"cell{i}" for i in range(20)])
    order = np.arange(20) if order is None else order
    vocabulary = Vocabulary.from_genes([f"G{i}" for i in range(40)])
    keys = hash_ids(names[order])
    tokens = CellTokenizer(
        binned[order],
        np.arange(40),
        vocabulary,
        max_length=max_length,
        cls_value=0,
        keep_zeros=keep_zeros,
        chooser=HashChooser(keys, seed, "subset"),
    )
    return tokens, keys


@pytest.mark.parametrize("keep_zeros", [True, False])
def test_subset_of_a_cell_does_not_depend_on_order_or_neighbors(keep_zeros):
    tokens, _ = random_tokens(keep_zeros=keep_zeros)
    whole = tokens.batch(np.arange(20))
    assert whole.gene_ids.shape[1] == 12
    assert (whole.gene_ids[:, 0] == tokens.vocabulary.cls_id).all()
    moved, _ = random_tokens(np.array([7, 2, 19]), keep_zeros=keep_zeros)
    for position, row in enumerate([7, 2, 19]):
        one = moved.batch(np.array([position]))
        kept = ~whole.pad_mask[row]
        np.testing.assert_array_equal(one.gene_ids[0], whole.gene_ids[row, kept])
        np.testing.assert_array_equal(one.values[0], whole.values[row, kept])
    other, _ = random_tokens(keep_zeros=keep_zeros, seed=4)
    assert (other.batch(np.arange(20)).gene_ids != whole.gene_ids).any()


def test_masks_depend_on_cell_and_epoch_only():
    tokens, keys = random_tokens(max_length=99)
    rows = np.arange(20)
    batch = tokens.batch(rows)
    _, mask = mask_values(batch, rows, HashChooser(keys, 1, "mask", 0), 0.4)
    np.testing.assert_array_equal(mask.sum(1), ((~batch.pad_mask).sum(1) * 0.4).astype(int))
    assert not (mask & batch.pad_mask).any()
    part = tokens.batch(rows[5:8])
    _, part_mask = mask_values(part, rows[5:8], HashChooser(keys, 1, "mask", 0), 0.4)
    np.testing.assert_array_equal(part_mask, mask[5:8, : part_mask.shape[1]])
    _, later = mask_values(batch, rows, HashChooser(keys, 1, "mask", 1), 0.4)
    assert (later != mask).any()


def test_vocabulary_follows_ids_not_key_order_and_appends_specials(tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"B": 2, "<pad>": 1, "A": 0}))
    vocabulary = Vocabulary.read(path)
    assert vocabulary.lookup(["A", "B", "a", "<pad>", "nothing"]).tolist() == [0, 2, -1, -1, -1]
    assert (vocabulary.pad_id, vocabulary.cls_id, len(vocabulary)) == (1, 3, 5)
    vocabulary.write(path)
    assert Vocabulary.read(path).ids == vocabulary.ids


@pytest.mark.parametrize("content", ["[1]", "{", '{"A": 0, "B": 0}', '{"A": -1}', '{"A": "x"}'])
def test_bad_vocabulary_is_refused_with_its_path(tmp_path, content):
    path = tmp_path / "vocab.json"
    path.write_text(content)
    with pytest.raises(VocabularyError, match=r"vocab\.json"):
        Vocabulary.read(path)
