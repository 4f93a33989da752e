"""Rankings and the vocabulary, without any fixture."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.data.genes import Genes
from sceval.models.tgpt.tokens import tokenize
from sceval.models.tgpt.vocabulary import Vocabulary, is_excluded, spelled
from sceval.models.transformer.problems import CheckpointError

ALL = {"exclude": False, "max_length": 64}


def rank(values, symbols, vocabulary=None, **settings):
    """Return the words of each cell between begin and end."""
    vocabulary = vocabulary or Vocabulary.from_genes(symbols)
    counts = sp.csr_matrix(np.atleast_2d(values).astype(np.float32))
    cells = [f"c{i}" for i in range(counts.shape[0])]
    tokens = tokenize(counts, Genes.from_symbols(symbols), cells, vocabulary, ALL | settings, 0)
    batch = tokens.batch(np.arange(len(cells)))
    names = {i: token for token, i in vocabulary.ids.items()}
    rows = zip(batch["input_ids"], batch["lengths"], strict=True)
    return [[names[i] for i in ids[1 : n - 1]] for ids, n in rows], tokens


def test_descending_without_zeros_and_ties_by_token():
    words, tokens = rank([[1, 3, 0, 3, 2], [0, 0, 0, 0, 0]], ["A", "B", "C", "D", "E"])
    assert words == [["B", "D", "E", "A"], []]
    assert tokens.lengths.tolist() == [6, 2]
    assert tokens.usable.tolist() == [True, False]


def test_the_cut_of_an_overlong_cell_is_decided_by_token_id_not_by_column():
    symbols = [f"G{i}" for i in range(9)]
    vocabulary = Vocabulary.from_genes(symbols)
    values = np.array([2, 1, 1, 5, 1, 1, 1, 1, 1])
    words, _ = rank(values, symbols, vocabulary, max_length=6)
    assert words == [["G3", "G0", "G1", "G2"]]
    order = np.random.default_rng(0).permutation(9)
    shuffled, _ = rank(values[order], [symbols[i] for i in order], vocabulary, max_length=6)
    assert shuffled == words


def test_a_rescaled_cell_ranks_the_same():
    symbols = [f"G{i}" for i in range(30)]
    values = np.random.default_rng(1).integers(0, 6, (8, 30))
    assert rank(values, symbols, max_length=12)[0] == rank(np.log1p(values / 7), symbols, max_length=12)[0]


def test_tokens_depend_on_no_neighbor(small):
    made = small(n_cells=40)
    tokens = tokenize(made.counts, made.genes, made.cells, made.vocabulary, made.settings, 0)
    together = tokens.batch(np.arange(40))
    alone = tokenize(made.counts[[7]], made.genes, ["cell7"], made.vocabulary, made.settings, 5).batch(np.array([0]))
    own = together["input_ids"][7, : alone["lengths"][0]]
    np.testing.assert_array_equal(own, alone["input_ids"][0])
    np.testing.assert_array_equal(tokens.batch(np.array([9, 7]))["input_ids"][1, : own.size], own)


def test_spelling():
    assert spelled("HLA-DRA") == "HLA_DRA"
    assert spelled("RP11-34P13.7") == "RP11_34P13_7"
    vocabulary = Vocabulary.from_genes(["HLA-DRA", "C14orf2"])
    found = vocabulary.lookup(Genes.from_symbols(["HLA.DRA", "C14ORF2", "C14orf2", "<pad>", ""]))
    assert found.tolist() == [4, -1, 5, -1, -1]


def test_placeholders_stand_for_no_gene():
    ids = {**Vocabulary.from_genes(["A"]).ids, "unused0": 5, "extra_id_3": 6}
    vocabulary = Vocabulary(ids)
    assert vocabulary.genes() == ["A"]
    assert vocabulary.lookup(Genes.from_symbols(["unused0", "extra_id_3"])).tolist() == [-1, -1]


@pytest.mark.parametrize("symbol", ["RPL10", "Rps4x", "MT-CO1", "mt-Nd4", "MT.ND4", "MALAT1", "Neat1"])
def test_excluded(symbol):
    assert is_excluded(symbol)


@pytest.mark.parametrize("symbol", ["RSL1D1", "MTOR", "RPA1", "MALAT2"])
def test_not_excluded(symbol):
    assert not is_excluded(symbol)


def test_exclusion_is_a_switch_and_changes_no_share():
    symbols = ["RPL10", "A", "MALAT1", "Z"]
    vocabulary = Vocabulary.from_genes(["RPL10", "A", "MALAT1"])
    words, tokens = rank([4, 3, 2, 1], symbols, vocabulary, exclude=True)
    assert words == [["A"]]
    assert tokens.notes["genes_excluded"] == 2
    assert tokens.recognised == 0.75
    assert rank([4, 3, 2, 1], symbols, vocabulary)[0] == [["RPL10", "A", "MALAT1"]]


def test_unknown_genes_take_places_only_where_asked_for():
    vocabulary = Vocabulary.from_genes(["A", "TRA", "B"])
    symbols = ["NEW", "TRA@", "A", "B"]
    assert rank([9, 8, 7, 6], symbols, vocabulary)[0] == [["A", "B"]]
    assert rank([9, 8, 7, 6], symbols, vocabulary, unknown="upstream")[0] == [["<unk>", "TRA", "<unk>", "A", "B"]]
    assert rank([9, 8, 7, 6], symbols, vocabulary, unknown="upstream", max_length=5)[0] == [["<unk>", "TRA", "<unk>"]]


def test_columns_of_one_gene_are_added_up():
    assert rank([2, 3, 2], ["HLA-A", "B", "HLA.A"])[0] == [["HLA_A", "B"]]


def test_vocabulary_round_trip(tmp_path):
    vocabulary = Vocabulary.from_genes(["A", "HLA-DRA", "A"])
    vocabulary.write(tmp_path)
    assert Vocabulary.read(tmp_path) == vocabulary
    newer = {role: {"content": token, "lstrip": False} for role, token in vocabulary.specials.items()}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(newer))
    assert Vocabulary.read(tmp_path) == vocabulary


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "expected a JSON object"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0}}}', "word-level"),
        ('{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 0}}}', "two tokens share an id"),
        ('{"model": {"type": "WordLevel", "vocab": {"a": -1}}}', "non-negative"),
        ('{"model": {"type": "WordLevel", "vocab": {"a": 0}}}', "no token <pad>"),
    ],
)
def test_damaged_tokenizers(tmp_path, content, message):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        Vocabulary.read(tmp_path)
