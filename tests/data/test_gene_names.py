"""Names of genes, with those that go wrong in practice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.gene_names import DUPLICATE, resolve
from sceval.data.genes import Genes, sum_columns


def one(symbol: str, known: set[str], kind: str = "symbol", ensembl: str | None = None, organism: str = "human"):
    found = resolve(Genes([symbol], [ensembl], organism), known, kind)
    return found.names[0], found.how[0]


@pytest.mark.parametrize(
    ("symbol", "known", "name", "how"),
    [
        ("SEPTIN2", {"SEPTIN2", "SEPT2"}, "SEPTIN2", "exact"),
        ("SEPT2", {"SEPTIN2"}, "SEPTIN2", "previous"),
        ("SEPTIN2", {"SEPT2"}, "SEPT2", "approved"),  # a vocabulary of old names
        ("MARCH1", {"MARCHF1"}, "MARCHF1", "previous"),
        ("ATP5E", {"ATP5F1E"}, "ATP5F1E", "previous"),
        ("NEDD5", {"SEPT2"}, "SEPT2", "previous"),  # both names are former ones
        ("p53", {"TP53"}, "TP53", "alias"),
        ("OCT-4", {"POU5F1"}, "POU5F1", "alias"),  # looks like a date and is none
        ("DIFF6", {"SEPTIN1", "SEPTIN2"}, None, "ambiguous"),  # a former name of both
        ("DIFF6", {"DIFF6", "SEPTIN2"}, "DIFF6", "exact"),
        ("C1ORF112", {"C1orf112"}, "C1orf112", "case"),
        ("c1orf112", {"FIRRM"}, "FIRRM", "case"),  # its former name in another case
        ("actb", {"ACTB"}, "ACTB", "case"),
        ("1-Mar", {"MARCHF1", "MTARC1"}, None, "date"),
        ("2-Sep", {"SEPTIN2"}, None, "date"),
        ("Dec-01", {"DELEC1"}, None, "date"),
        ("2023-03-01", {"MARCHF1"}, None, "date"),
        ("RP11-34P13.7", {"RP11-34P13.7", "RP11-34P13"}, "RP11-34P13.7", "exact"),
        ("RP11-34P13.7", {"RP11-34P13"}, None, ""),  # a dot in a symbol is no version
        ("AC000123.1", {"AC000123"}, None, ""),
        ("ENSG00000075624.17", {"ACTB"}, "ACTB", "ensembl"),  # an index of ids where symbols were declared
        ("no such gene", {"ACTB"}, None, ""),
        ("", {"ACTB"}, None, ""),
    ],
)
def test_human_symbols(symbol: str, known: set[str], name: str | None, how: str) -> None:
    assert one(symbol, known) == (name, how)


@pytest.mark.parametrize(
    ("symbol", "ensembl", "known", "name", "how"),
    [
        ("x", "ENSG00000075624", {"ENSG00000075624"}, "ENSG00000075624", "exact"),
        ("x", "ENSG00000075624.17", {"ENSG00000075624"}, "ENSG00000075624", "version"),
        ("x", "ENSG00000075624", {"ENSG00000075624.9"}, "ENSG00000075624.9", "version"),
        ("ENSG00000075624.17", None, {"ENSG00000075624"}, "ENSG00000075624", "version"),
        ("SEPT2", None, {"ENSG00000168385"}, "ENSG00000168385", "previous"),
        ("ACTB", "ENSG00000999999", {"ENSG00000075624"}, "ENSG00000075624", "approved"),  # the id is retired
        ("ACTB", "ENSG00000168385", {"ENSG00000075624"}, None, ""),  # the id says that it is another gene
        ("ENSG00000182378.14_PAR_Y", None, {"ENSG00000182378"}, "ENSG00000182378", "version"),
    ],
)
def test_ensembl_ids(symbol: str, ensembl: str | None, known: set[str], name: str | None, how: str) -> None:
    assert one(symbol, known, "ensembl", ensembl) == (name, how)


def test_an_ensembl_id_decides_before_a_former_symbol() -> None:
    # DIFF6 alone is ambiguous; with its id it is not. A date is mended by its id too.
    assert one("DIFF6", {"SEPTIN1", "SEPTIN2"}, ensembl="ENSG00000168385") == ("SEPTIN2", "ensembl")
    assert one("1-Mar", {"MARCHF1"}, ensembl="ENSG00000145416.12") == ("MARCHF1", "ensembl")


@pytest.mark.parametrize(
    ("symbol", "known", "name", "how"),
    [
        ("Actb", {"ACTB"}, "ACTB", "orthologue"),
        ("Actb", {"ACTB", "Actb"}, "Actb", "exact"),  # a vocabulary that holds the mouse gene
        ("mt-Co1", {"MT-CO1"}, "MT-CO1", "orthologue"),
        ("Defb23", {"DEFB129"}, "DEFB129", "orthologue"),
        ("Zfx", {"ZFX", "ZFY"}, "ZFX", "upper_case"),
        ("Septin2", {"SEPT2"}, "SEPT2", "orthologue"),
        ("Gm12345", {"ACTB"}, None, ""),
    ],
)
def test_mouse_symbols(symbol: str, known: set[str], name: str | None, how: str) -> None:
    assert one(symbol, known, organism="mouse") == (name, how)


def test_mouse_symbols_reach_an_ensembl_vocabulary() -> None:
    assert one("Actb", {"ENSG00000075624"}, "ensembl", "ENSMUSG00000029580", "mouse") == (
        "ENSG00000075624",
        "orthologue",
    )


def test_mouse_cells_do_not_become_human_by_alias() -> None:
    assert one("P53", {"TP53"}, organism="mouse") == (None, "")


def test_two_columns_of_one_gene() -> None:
    genes = Genes.from_symbols(["SEPT2", "SEPTIN2", "ATP5E", "atp5e", "MS4A1", "MS4A1"])
    found = resolve(genes, {"SEPTIN2", "ATP5F1E", "MS4A1"})
    assert found.names == [None, "SEPTIN2", "ATP5F1E", "ATP5F1E", "MS4A1", "MS4A1"]
    assert found.how[0] == DUPLICATE
    assert [(c.known, c.columns, c.summed) for c in found.collisions] == [
        ("SEPTIN2", (0, 1), False),
        ("ATP5F1E", (2, 3), True),
        ("MS4A1", (4, 5), True),
    ]
    text = " ".join(found.warnings())
    assert "2 genes stand in several columns, whose counts were added: ATP5F1E, MS4A1" in text
    assert "of 1 genes the column of exactly that name was used alone: SEPTIN2" in text

    X = sparse.csr_matrix(np.arange(1, 13).reshape(2, 6).astype(np.float32))
    counts, ids = sum_columns(X, found.ids({"MS4A1": 4, "SEPTIN2": 9, "ATP5F1E": 2}))
    np.testing.assert_array_equal(ids, [9, 2, 4])
    np.testing.assert_array_equal(counts.toarray(), [[2, 7, 11], [8, 19, 23]])
    assert counts.has_sorted_indices


def test_what_was_recognised_is_told() -> None:
    found = resolve(Genes.from_symbols(["ACTB", "ATP5E", "DIFF6", "1-Mar", "xyz"]), {"ACTB", "ATP5F1E"})
    assert found.recognised == pytest.approx(2 / 5)
    assert found.counts() == {"ambiguous": 1, "date": 1, "exact": 1, "previous": 1}
    assert found.ambiguous == ["DIFF6"]
    assert found.dates == ["1-Mar"]
    text = " ".join(found.warnings())
    assert "1 by previous symbol" in text
    assert "not used: DIFF6" in text
    assert "not guessed: 1-Mar" in text


def test_exact_names_alone() -> None:
    genes = Genes(["ACTB", "ATP5E", "actb"], [None, None, None])
    found = resolve(genes, {"ACTB", "ATP5F1E"}, exact_only=True)
    assert found.names == ["ACTB", None, None]
    assert found.warnings() == []


def test_the_order_of_a_vocabulary_changes_nothing() -> None:
    genes = Genes.from_symbols(["SEPTIN2"])
    names = ["NEDD5", "SEPT2", "hNedd5"]
    assert resolve(genes, names).names == resolve(genes, names[::-1]).names


def test_bad_use_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of symbol, ensembl"):
        resolve(Genes.from_symbols(["ACTB"]), {"ACTB"}, "gene_symbol")
    with pytest.raises(ValueError, match="2 symbols and 1 Ensembl ids"):
        Genes(["a", "b"], [None])


def test_genes_of_a_view() -> None:
    view = CellFile(np.array(["c"], object), np.array(["g1", "g2"], object), X=sparse.csr_matrix((1, 2)))
    view.var["gene_symbol"] = np.array(["ACTB", ""], object)
    view.var["ensembl_id"] = np.array(["", "ENSG00000075624"], object)
    view.uns["sceval"] = {"organism": "mouse"}
    genes = Genes.of(view)
    assert (genes.symbols, genes.ensembl, genes.organism) == (["ACTB", ""], [None, "ENSG00000075624"], "mouse")


def test_nothing_is_copied_where_nothing_changes() -> None:
    X = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    counts, ids = sum_columns(X, np.array([5, 1, 2]))
    assert counts is X
    np.testing.assert_array_equal(ids, [5, 1, 2])
    counts, ids = sum_columns(X, np.array([-1, -1, -1]))
    assert counts.shape == (3, 0)
    assert ids.size == 0
