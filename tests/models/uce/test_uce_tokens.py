"""Sentences, draws and the tables of the genome, without any fixture."""

from __future__ import annotations

import numpy as np
import pytest

from sceval.data.genes import Genes
from sceval.models.transformer.problems import CheckpointError, NoKnownGenes
from sceval.models.uce.genome import CLS, RIGHT, read_chromosomes, read_vocabulary
from sceval.models.uce.tokens import expressing, frequent, tokenize

SETTINGS = {"sample_size": 20}
ROWS = 56  # 4 specials, 12 mouse genes, 30 human genes, 10 chromosomes


@pytest.fixture
def vocabulary(official):
    return read_vocabulary(official(), ROWS)


def sentences(dataset, vocabulary, rows=None, seed=0, **settings):
    rows = np.arange(len(dataset.cells)) if rows is None else rows
    cells = [dataset.cells[i] for i in rows]
    return tokenize(dataset.counts[rows], dataset.genes, cells, vocabulary, SETTINGS | settings, seed)


def test_rows_of_the_table(vocabulary):
    genes = Genes.from_symbols(["GENE0", "gene29", "Gene5", "OTHER", ""])
    assert vocabulary.chromosome_offset == 46
    assert vocabulary.lookup(genes).tolist() == [16, 45, 21, -1, -1]
    mouse = Genes.from_symbols(["Gene0", "GENE11", "Gene12"], "mouse")
    assert vocabulary.lookup(mouse).tolist() == [4, 15, -1]
    codes, starts = vocabulary.places(genes)
    assert codes[:2].tolist() == [0, 1]
    assert vocabulary.places(mouse)[0].tolist() == [4, 7, -1]  # human_0 .. human_3 come first
    assert starts[:2].tolist() == [1000, 1000 - 7 * 29]


def test_a_sentence_is_laid_out_along_the_chromosomes(dataset, vocabulary):
    tokens = sentences(dataset, vocabulary)
    ids = vocabulary.lookup(dataset.genes)
    codes, starts = vocabulary.places(dataset.genes)
    place = {int(i): (int(c), int(s)) for i, c, s in zip(ids, codes, starts, strict=True) if i >= 0}
    for row in np.flatnonzero(tokens.usable):
        batch = tokens.batch(np.array([row]))
        sentence = batch["input_ids"][0].tolist()
        assert batch["lengths"].tolist() == [len(sentence)] == [tokens.lengths[row]]
        assert sentence[0] == CLS
        assert sentence[-1] == RIGHT
        parts, current = [], []
        for token in sentence[1:]:
            current.append(token)
            if token == RIGHT:
                parts.append(current)
                current = []
        chromosomes = [part[0] - vocabulary.chromosome_offset for part in parts]
        assert len(set(chromosomes)) == len(chromosomes)
        drawn = [token for part in parts for token in part[1:-1]]
        assert len(drawn) == 20
        expressed = set(ids[dataset.counts[row].indices])
        assert set(drawn) <= expressed - {-1}
        for code, part in zip(chromosomes, parts, strict=True):
            assert {place[token][0] for token in part[1:-1]} == {code}
            assert [place[t][1] for t in part[1:-1]] == sorted(place[t][1] for t in part[1:-1])


def test_draws_belong_to_the_cell(dataset, vocabulary):
    whole = sentences(dataset, vocabulary)
    order = dataset.rng.permutation(24)[:9]
    part = sentences(dataset, vocabulary, order)
    columns = dataset.rng.permutation(32)
    turned = tokenize(
        dataset.counts[:, columns],
        Genes.from_symbols([dataset.genes.symbols[i] for i in columns]),
        dataset.cells,
        vocabulary,
        SETTINGS,
        0,
    )
    for i, row in enumerate(order):
        if not whole.usable[row]:
            continue
        own = whole.batch(np.array([row]))["input_ids"]
        np.testing.assert_array_equal(part.batch(np.array([i]))["input_ids"], own)
        np.testing.assert_array_equal(turned.batch(np.array([row]))["input_ids"], own)
    other = sentences(dataset, vocabulary, seed=1)
    rows = np.flatnonzero(whole.usable)
    assert any((whole.sentence(r).tolist() != other.sentence(r).tolist()) for r in rows)


def test_draws_follow_the_probabilities(vocabulary, dataset):
    """Of many draws each gene takes the share log1p(count) / sum."""
    tokens = sentences(dataset, vocabulary, sample_size=20_000)
    ids = vocabulary.lookup(dataset.genes)
    row = dataset.counts[[0]].toarray()[0] * (ids >= 0)
    expected = np.log1p(row) / np.log1p(row).sum()
    drawn = np.bincount(tokens.sentence(0), minlength=ROWS)[ids]
    np.testing.assert_allclose(drawn[ids >= 0] / 20_000, expected[ids >= 0], atol=0.015)


def test_chromosomes_come_in_any_order(dataset, vocabulary):
    tokens = sentences(dataset, vocabulary)
    first = {int(tokens.sentence(row)[1]) for row in np.flatnonzero(tokens.usable)}
    assert len(first) > 1


def test_cells_that_get_no_sentence(dataset, vocabulary):
    tokens = sentences(dataset, vocabulary)
    assert np.flatnonzero(~tokens.usable).tolist() == [5, 6]
    assert tokens.recognised == pytest.approx(30 / 32)
    assert tokens.warnings == []
    few = sentences(dataset, vocabulary, min_genes=12)
    enough = expressing(dataset.counts) >= 12
    np.testing.assert_array_equal(few.usable, enough & tokens.usable)
    assert f"{int((~enough).sum())} cells express fewer than 12 genes" in few.warnings[0]


def test_filters_count_expressed_entries(dataset):
    dense = dataset.counts.toarray()
    with_zeros = dataset.counts.copy()
    with_zeros.data[0] = 0
    dense[with_zeros.nonzero()[0][0] if with_zeros.indptr[1] == 0 else 0, with_zeros.indices[0]] = 0
    np.testing.assert_array_equal(frequent(with_zeros, 12), (dense > 0).sum(0) >= 12)
    mask = frequent(with_zeros, 12)
    np.testing.assert_array_equal(expressing(with_zeros, mask), (dense[:, mask] > 0).sum(1))


def test_upstream_mini_batches_follow_the_file(dataset, vocabulary):
    own = sentences(dataset, vocabulary)
    tokens = sentences(dataset, vocabulary, padding="upstream", upstream_batch=5)
    rows = np.flatnonzero(tokens.usable)
    for start in range(0, rows.size, 5):
        part = rows[start : start + 5]
        assert set(tokens.lengths[part]) == {own.lengths[part].max()}
    batch = tokens.batch(rows[::-1])
    np.testing.assert_array_equal(batch["padded"], tokens.lengths[rows[::-1]])
    np.testing.assert_array_equal(batch["lengths"], own.lengths[rows[::-1]])


def test_upstream_draws_walk_through_the_file(dataset, vocabulary):
    """A cell's sentence then does depend on the cells before it, and repeats with the seed."""
    first, again = (sentences(dataset, vocabulary, draws="upstream", seed=5) for _ in range(2))
    later = sentences(dataset, vocabulary, np.arange(3, 24), draws="upstream", seed=5)
    np.testing.assert_array_equal(first.sentence(8), again.sentence(8))
    np.testing.assert_array_equal(first.sentence(8), first.sentence(8))
    assert first.sentence(8).tolist() != later.sentence(5).tolist()


def test_no_known_gene(dataset, vocabulary):
    genes = Genes.from_symbols([f"ENSG{i:011d}" for i in range(32)])
    with pytest.raises(NoKnownGenes, match="none of the 32 genes is among the 30"):
        tokenize(dataset.counts, genes, dataset.cells, vocabulary, SETTINGS, 0)


def test_genes_without_a_place_are_told(official, dataset):
    folder = official()
    path = folder / "species_chrom.csv"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("GENE7,3,951,human")]
    path.write_text("\n".join(lines) + "\n")
    vocabulary = read_vocabulary(folder, ROWS)
    assert vocabulary.lookup(Genes.from_symbols(["GENE7"])).tolist() == [-1]
    assert "1 genes have a protein vector but no place" in sentences(dataset, vocabulary).warnings[0]


def test_codes_are_ranks_among_all_species(tmp_path):
    path = tmp_path / "chrom.csv"
    path.write_text("gene_symbol,chromosome,start,species\nA,2,5,pig\na,10,6,human\nB,2,7.0,human\nb,2,8,human\n")
    places, n = read_chromosomes(path)
    assert n == 3
    assert places == {"pig": {"A": (2, 5)}, "human": {"A": (0, 6), "B": (1, 7)}}
    path.write_text("gene_symbol,chromosome,start,species\nA,2,here,pig\n")
    with pytest.raises(CheckpointError, match="line 2: start is 'here'"):
        read_chromosomes(path)
    path.write_text("gene,chromosome,start,species\n")
    with pytest.raises(CheckpointError, match="no column gene_symbol"):
        read_chromosomes(path)
