"""Names of real genes for the views: a pre-trained model knows no made-up ones."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sceval.data.gene_tables import human_genes

_SETS = Path(__file__).resolve().parents[1] / "assets" / "gene_sets" / "go_bp.gmt.gz"


def real_genes(n: int, known: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Return n symbols and their Ensembl ids: genes that are in many GO terms first, so that pathways are covered.

    Parameters
    ----------
    n
        How many.
    known
        Symbols or Ensembl ids; where given, genes among them come first.
    """
    names = human_genes()
    ids = {names.symbols[gene]: name for name, gene in names.ensembl.items()}
    lines = gzip.decompress(_SETS.read_bytes()).decode().splitlines()
    terms = Counter(gene for line in lines for gene in line.split("\t")[2:])
    known = set(known)
    found = [name for name in names.symbols if name in ids]
    found.sort(key=lambda name: (not ({name, ids[name]} & known), -terms[name], name))
    return found[:n], [ids[name] for name in found[:n]]
