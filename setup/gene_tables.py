"""Makes src/sceval/assets/genes from HGNC's and Ensembl's tables: `python setup/gene_tables.py HGNC ORTHOLOGUES`.

HGNC: tab-separated with approved_symbol, previous_symbols, alias_symbols, ensembl_id (lists joined by `|`), for example
from HGNC's `hgnc_complete_set`. ORTHOLOGUES: human, mouse, one_to_one (`True` where each has no other). Both may be
gzipped. The same input gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "sceval" / "assets" / "genes"


def read(path: str) -> list[dict[str, str]]:
    """Return the rows of a tab-separated file."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def write(name: str, lines: Iterable[str]) -> None:
    """Write lines, gzipped without a time stamp."""
    path = TARGET / name
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size} bytes")


def main(hgnc: str, orthologues: str) -> None:
    """Write both tables."""
    rows = sorted(read(hgnc), key=lambda row: row["approved_symbol"])
    approved = {row["approved_symbol"] for row in rows}
    write(
        "hgnc.tsv.gz",
        (
            "\t".join(
                (
                    row["approved_symbol"],
                    row["previous_symbols"],
                    row["alias_symbols"],
                    # The digits alone: every id of the table is ENSG and eleven digits.
                    row["ensembl_id"].removeprefix("ENSG").lstrip("0"),
                )
            )
            for row in rows
        ),
    )
    pairs = sorted((row["mouse"], row["human"]) for row in read(orthologues) if row["one_to_one"] == "True")
    # Where the mouse symbol in upper case is another approved human gene (54, mostly readthroughs and gene families),
    # the two statements contradict each other; the shared name is believed, so the pair is left out.
    agreed = [(m, h) for m, h in pairs if m.upper() == h.upper() or m.upper() not in approved]
    write("mouse_to_human.tsv.gz", (m if m.upper() == h else f"{m}\t{h}" for m, h in agreed))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
