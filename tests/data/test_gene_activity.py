"""Gene activity: which peaks lie at which genes, by hand."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from sceval.data.gene_activity import parse_peaks, peak_map, read_positions
from sceval.data.second_modality import gene_of_protein

POSITIONS = {
    "chrom": np.array(["chr1", "1", "chr2"], object),
    "start": np.array([10_000, 40_000, 500]),
    "end": np.array([20_000, 45_000, 900]),
    "strand": np.array(["+", "-", "+"], object),
    "symbol": np.array(["A", "B", "C"], object),
}
GENES = {"ids": np.array(["A", "B", "C"], object), "symbols": np.array(["A", "B", "C"], object)}
GENES["ensembl"] = np.full(3, "", object)


@pytest.mark.parametrize(
    ("peak", "body", "start"),
    [
        ("chr1:7999-8000", "", "A"),  # 1 base before the promoter; within 5 kb of the start
        ("chr1:7999-8001", "A", "A"),
        ("1-19999-20100", "A", ""),
        ("1-20000-20100", "", ""),  # half open: the gene ends before
        ("chr1_46999_47500", "B", "B"),  # on the strand - the promoter is behind the end
        ("chr1:47000-47500", "", "B"),
        ("chr1:37000-39999", "", ""),
        ("chr2:0-1", "C", "C"),  # the region does not begin before 0
        ("chr3:600-700", "", ""),
        ("CD3", "", ""),
    ],
)
def test_regions_by_hand(peak, body, start):
    peaks = np.array([peak, "chr1:1-200000"], object)  # a wide peak beside it must change nothing
    for rule, wanted in (("body", body), ("start", start)):
        found = peak_map(peaks, POSITIONS, GENES, rule)
        assert "".join(GENES["ids"][found[0].indices]) == wanted, rule
        assert found[1].nnz == 2


def test_names_of_peaks_and_of_proteins():
    assert list(parse_peaks(np.array(["chrX:1-5", "X-1-5", "CD4", "chr1:9-3"], object))[3]) == [
        True,
        True,
        False,
        False,
    ]
    names = {
        "CD8a": "CD8A",
        "CD3": "CD3E",
        "CD16_TotalSeqB": "FCGR3A",
        "PD-1": "PDCD1",
        "HLA-DR": "HLA-DRA",
        "IgG1": "",
    }
    assert {name: gene_of_protein(name) for name in names} == names


def test_a_table_is_read_and_a_bad_one_is_refused(tmp_path):
    path = tmp_path / "genes.tsv.gz"
    path.write_bytes(gzip.compress(b"chrom\tstart\tend\tstrand\tsymbol\tensembl_id\nchr1\t5\t9\t-\tA\tENSG1\n"))
    assert read_positions(path)["start"][0] == 5
    path.write_bytes(b"chrom\tstart\tend\tstrand\tsymbol\nchr1\tfive\t9\t-\tA\n")
    with pytest.raises(ValueError, match="column start"):
        read_positions(path)
    path.write_bytes(b"chrom\tstart\tend\tstrand\tsymbol\nchr1\t5\n")
    with pytest.raises(ValueError, match="row 2 with 2 fields"):
        read_positions(path)
