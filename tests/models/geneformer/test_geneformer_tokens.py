"""Rank-value encoding: ties, collapse, specials, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sceval.data.genes import Genes
from sceval.models.geneformer.checkpoint import load, new
from sceval.models.geneformer.masking import IGNORED
from sceval.models.geneformer.tokens import ranked, tokenize
from sceval.models.geneformer.vocabulary import Vocabulary


def ids_of(tokens, rows=None):
    rows = np.flatnonzero(tokens.usable) if rows is None else rows
    return [tokens.genes_of(row).tolist() for row in rows]


def test_order_is_that_of_the_definition_and_ties_follow_tokens(small):
    s = small(n_cells=12, n_genes=25, max_tokens=0)
    ids, medians = s.vocabulary.lookup(s.genes), s.vocabulary.medians
    dense = s.counts.toarray().astype(float)
    for row, tokens, values in ranked(s.counts, ids, medians):
        worth = dense[row] / medians[ids]
        order = sorted(np.flatnonzero(dense[row]), key=lambda g: (-worth[g], ids[g]))
        assert tokens.tolist() == ids[order].tolist()
        np.testing.assert_allclose(values, worth[order])
    assert (s.tokens.lengths == (dense > 0).sum(1) + 2).all()


def test_nothing_but_the_cell_matters(small, monkeypatch):
    s = small(n_cells=25)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(25), rng.permutation(30)
    genes = Genes([s.genes.symbols[i] for i in columns], [s.genes.ensembl[i] for i in columns])
    args = (s.vocabulary, s.settings)
    mixed = tokenize(s.counts[rows][:, columns], genes, [s.cells[i] for i in rows], *args, 0)
    expected = [s.tokens.genes_of(row).tolist() for row in rows]
    assert ids_of(mixed, range(25)) == expected
    scaled = tokenize(sp.diags(rng.integers(1, 9, 25).astype(float)) @ s.counts, s.genes, s.cells, *args, 0)
    assert ids_of(scaled) == ids_of(s.tokens)
    monkeypatch.setattr("sceval.models.geneformer.tokens.CELLS_PER_BLOCK", 4)
    assert ids_of(tokenize(s.counts, s.genes, s.cells, *args, 0)) == ids_of(s.tokens)
    one = tokenize(s.counts[[7]], s.genes, ["cell7"], *args, 0)
    assert ids_of(one) == [s.tokens.genes_of(7).tolist()]
    masked, alone = s.tokens.masked_batch(np.arange(25), epoch=1), one.masked_batch(np.zeros(1, int), epoch=1)
    n = int(one.lengths[0])
    for name in ("input_ids", "labels"):
        np.testing.assert_array_equal(masked[name][7, :n], alone[name][0])


def test_official_lookup(official):
    v1 = load(official.v1).vocabulary
    names = ["ENSG00000000000", "ensg00000000003", "ENSG00000000004.7", "ENSG00000099999", "OldName", "ENSG00000000014"]
    assert [v1.token_of(name) for name in names] == [2, 5, 6, 3, 2, -1]
    assert v1.token_of("SYMBOL2") == -1
    assert v1.token_of("symbol2", symbol=True) == 4
    genes = Genes(["OLDNAME", "OLDNAME", ""], [None, "ENSG00000000005", None])
    assert v1.lookup(genes).tolist() == [2, 7, -1]
    assert set(v1.known()) == {f"ENSG{i:011d}" for i in range(12)} | {"OLDNAME", "ENSG00000099999"}


def test_a_vocabulary_of_a_dataset_knows_ids_and_symbols():
    names = ["ACTB", "CD3D", "NOGENE", "X1", "ADRBK1", "MLL", "KMT2A"]
    genes = Genes(names, [None, "ENSG00000167286.5", None, "ENSG00000000001", None, None, None])
    v = Vocabulary.from_genes(genes, 10)
    known = {"ENSG00000075624", "ENSG00000167286", "NOGENE", "ENSG00000000001"}
    assert set(v.ids) == known | {"ENSG00000173020", "MLL", "ENSG00000118058"}
    expected = v.lookup(genes)
    assert (expected >= 4).all()
    other = Genes(["actb", "CD3D", "NOGENE", ""], ["ENSG00000075624", None, "ENSG00000000099", "ENSG00000000001"])
    assert v.lookup(other).tolist() == expected.tolist()[:4]
    assert v.lookup(Genes(["NEW", ""], ["ENSG00000000098", None])).tolist() == [-1, -1]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_collapse_specials_and_cut(official, version):
    loaded = load(getattr(official, version))
    v = loaded.vocabulary
    first = v.lookup(Genes([""], ["ENSG00000000004"]))[0]
    ensembl = [f"ENSG{i:011d}" for i in range(4, 15)] + ["ENSG00000099999"]
    counts = np.zeros((3, 12), np.float32)
    counts[0, [0, 11, 1]] = [3, 5, 1]
    counts[1] = 1
    known = v.lookup(Genes([""] * 12, ensembl))
    tokens = tokenize(sp.csr_matrix(counts), Genes([""] * 12, ensembl), ["a", "b", "c"], v, {}, 0)
    sums = {}
    for column, token in enumerate(known):
        if counts[0, column] and token >= 0:
            sums[token] = sums.get(token, 0) + counts[0, column] / v.medians[token]
    assert tokens.genes_of(0).tolist() == sorted(sums, key=lambda t: -sums[t])
    assert first in tokens.genes_of(0)
    assert tokens.usable.tolist() == [True, True, False]
    batch = tokens.batch(np.array([0, 1]))
    assert "attention_mask" in batch
    assert batch["attention_mask"].sum(1).tolist() == tokens.lengths[:2].tolist()
    if version == "v2":
        assert batch["input_ids"][0, 0] == 2
        assert batch["input_ids"][0, tokens.lengths[0] - 1] == 3
        assert tokens.lengths[1] == 10  # cut to the positions of the model
        assert tokens.full[1] == 11
        assert any("lowest ranks were cut" in text for text in tokens.warnings)
    else:
        assert tokens.lengths[0] == len(sums)
        assert "attention_mask" not in tokens.batch(np.array([1]))
    assert (batch["input_ids"][0, tokens.lengths[0] :] == 0).all()
    short = tokenize(sp.csr_matrix(counts), Genes([""] * 12, ensembl), ["a", "b", "c"], v, {"max_tokens": 5}, 0)
    assert short.lengths[1] == 5
    np.testing.assert_array_equal(short.genes_of(1), tokens.genes_of(1)[: len(short.genes_of(1))])
    with pytest.raises(ValueError, match="max_tokens"):
        tokenize(sp.csr_matrix(counts), Genes([""] * 12, ensembl), ["a", "b", "c"], v, {"max_tokens": -3}, 0)


def test_medians_come_from_the_cells_that_may_be_fitted_on(small):
    s = small()
    rows = np.arange(8)
    made = new(s.genes, s.settings, 0)
    tokenize(s.counts, s.genes, s.cells, made.vocabulary, s.settings, 0, fit_rows=rows)
    other = s.counts.copy()
    other[8:] = other[8:] * 7
    again = new(s.genes, s.settings, 0)
    tokenize(other, s.genes, s.cells, again.vocabulary, s.settings, 0, fit_rows=rows)
    np.testing.assert_array_equal(made.vocabulary.medians, again.vocabulary.medians)
    dense = s.counts[rows].toarray().astype(float)
    scaled = dense / dense.sum(1, keepdims=True) * 1e4
    expected = [np.median(column[column > 0]) if (column > 0).any() else np.nan for column in scaled.T]
    expected = np.where(np.isnan(expected), np.nanmedian(expected), expected)
    np.testing.assert_allclose(made.vocabulary.medians[made.vocabulary.lookup(s.genes)], expected)


def test_masked_tokens(small):
    s = small(n_cells=300, n_genes=60, max_tokens=0)
    rows = np.flatnonzero(s.tokens.usable)
    plain, masked = s.tokens.batch(rows)["input_ids"], s.tokens.masked_batch(rows, epoch=0)
    asked = masked["labels"] != IGNORED
    gene = plain >= 4
    assert not (asked & ~gene).any()
    np.testing.assert_array_equal(masked["labels"][asked], plain[asked])
    np.testing.assert_array_equal(masked["input_ids"][~asked], plain[~asked])
    assert asked.sum() / gene.sum() == pytest.approx(0.15, abs=0.01)
    shown = masked["input_ids"][asked]
    assert (shown == 1).mean() == pytest.approx(0.8, abs=0.04)
    assert (shown == plain[asked]).mean() == pytest.approx(0.1, abs=0.03)
    assert set(shown) <= {1, *range(4, 64)}
    again, later = s.tokens.masked_batch(rows, epoch=0), s.tokens.masked_batch(rows, epoch=1)
    np.testing.assert_array_equal(again["labels"], masked["labels"])
    assert (later["labels"] != masked["labels"]).any()
