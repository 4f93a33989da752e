"""Gene lists, values, tokens."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from sceval.contract.h5ad import CellFile, write
from sceval.data.genes import Genes
from sceval.models.performer.genelist import GeneList, read_gene_list, write_gene_list
from sceval.models.performer.values import bins, first_columns, log2_normalize, reorder
from sceval.models.transformer.problems import CheckpointError

ASK = "Put order.txt there."
PATTERNS = ("*.h5ad", "order.txt")


def test_gene_list_from_text_and_h5ad_of_any_age(tmp_path):
    genes = ["B", "A", "C"]
    for name in ("text", "new", "old"):
        (tmp_path / name).mkdir()
    write_gene_list(tmp_path / "text" / "order.txt", genes)
    write(tmp_path / "new" / "Ref.H5AD".lower(), CellFile(np.array(["c"], object), np.array(genes, object)))
    with h5py.File(tmp_path / "old" / "ref.h5ad", "w") as handle:
        handle["var"] = np.array([(g.encode(), 1) for g in genes], dtype=[("index", "S3"), ("n", "i4")])
    for name in ("text", "new", "old"):
        assert read_gene_list(tmp_path / name, PATTERNS, ASK, 3) == tuple(genes)
    with pytest.raises(CheckpointError, match=r"the weights have 4 genes.*order\.txt: 3"):
        read_gene_list(tmp_path / "text", PATTERNS, ASK, 4)
    with pytest.raises(CheckpointError, match=r"no gene order\. Put order\.txt there\."):
        read_gene_list(tmp_path, PATTERNS, ASK)
    write_gene_list(tmp_path / "new" / "order.txt", ["A", "B", "C"])
    with pytest.raises(CheckpointError, match=r"different gene orders \(first at position 0\)"):
        read_gene_list(tmp_path / "new", PATTERNS, ASK, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A\n\nB\n", r"line 2: '' is no gene symbol"),
        (b"A\nB C\n", r"line 2: 'B C' is no gene symbol"),
        (b"\xff\xfe\x00A", "no text file"),
    ],
)
def test_damaged_gene_lists(tmp_path, content, message):
    (tmp_path / "order.txt").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_gene_list(tmp_path, PATTERNS, ASK)


def test_truncated_h5ad(tmp_path):
    (tmp_path / "ref.h5ad").write_bytes(b"\x89HDF")
    with pytest.raises(CheckpointError, match=r"not a readable \.h5ad file"):
        read_gene_list(tmp_path, PATTERNS, ASK)


def test_lookup_takes_symbols_else_ids():
    genes = Genes(["A", "", "X", "A"], [None, "ENSG1", None, None])
    made = GeneList.of(genes)
    assert made.genes == ("A", "ENSG1", "X")
    np.testing.assert_array_equal(made.lookup(genes), [0, 1, 2, 0])
    np.testing.assert_array_equal(first_columns(np.array([0, 1, -1, 0, -1])), [0, 1, -1, -1, -1])


def test_values():
    counts = sp.csr_matrix(np.array([[3, 0, 5, 2], [0, 0, 0, 7]], np.float32))
    matrix = reorder(counts, np.array([2, 0, 2, -1]), 4)
    np.testing.assert_array_equal(matrix.toarray(), [[0, 0, 8, 0], [0, 0, 0, 0]])
    # Totals are over the model's genes: 1, 3 and 9996 of 10,000 are exactly log2 1, 2 and 13.3.
    many = log2_normalize(sp.csr_matrix(np.array([[1, 3, 9996.0]])))
    np.testing.assert_array_equal(bins(many).data, [1, 2, 5])
    low = bins(log2_normalize(sp.csr_matrix(np.array([[1, 100_000.0]]))))
    assert low.nnz == 2  # expressed with a value below 1: an explicit 0
    np.testing.assert_array_equal(low.data, [0, 5])


def test_tokens_do_not_depend_on_columns_order_or_unknown_genes(model):
    made = model.make()
    whole = model.tokenize(made.vocabulary)
    order = np.random.default_rng(0).permutation(30)
    again = model.tokenize(made.vocabulary, columns=order)
    rows = np.flatnonzero(whole.usable)
    for name, array in whole.batch(rows).items():
        np.testing.assert_array_equal(array, again.batch(rows)[name])
    assert whole.recognised == 1.0
    fewer = GeneList(made.vocabulary.genes[:15], 16)
    assert model.tokenize(fewer).recognised == 0.5


def test_cells_without_known_gene_are_unusable(model):
    made = model.make()
    model.counts.data[model.counts.indptr[4] : model.counts.indptr[5]] = 0
    tokens = model.tokenize(made.vocabulary)
    assert not tokens.usable[4]
    assert tokens.usable.sum() == 23


def test_variable_genes_keep_their_own_positions_and_are_chosen_on_given_cells(model):
    made = model.make()
    tokens = model.tokenize(made.vocabulary, verb="annotate", n_hvg=10, fit_rows=np.arange(12))
    batch = tokens.batch(np.arange(5))
    places = batch["positions"] if model.name == "scbert" else batch["genes"]
    shown = np.unique(places[places < 30])
    assert shown.size <= 10
    assert tokens.notes["genes_used"] == 10
    values = bins(log2_normalize(reorder(model.counts, np.arange(30), 30)))
    for i in range(5):
        for place, token in zip(places[i], batch["tokens"][i], strict=True):
            if place < 30:
                assert token == values[i, place]
    model.counts.data[model.counts.indptr[12] :] = 1
    same = model.tokenize(made.vocabulary, verb="annotate", n_hvg=10, fit_rows=np.arange(12)).batch(np.arange(5))
    np.testing.assert_array_equal(batch["tokens"], same["tokens"])
    whole = model.tokenize(made.vocabulary, verb="embed-cells", n_hvg=10)
    assert whole.notes["genes_used"] == 30
