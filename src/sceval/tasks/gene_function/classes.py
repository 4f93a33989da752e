"""Which class a gene of the dataset has: from its gene sets, by gene id, symbol or Ensembl id."""

from __future__ import annotations

import re

import numpy as np

from sceval.contract import CellFile

REST = "rest"
"""Class of the genes outside a single set (a GMT file with one line)."""


def gene_classes(data: CellFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each gene (None where it has none) and its family.

    A gene that the sets give two classes has none: it would be right and wrong at once. With one class only, all other
    genes are the class `rest`. The family is the column `family` of the sets, else the stem of the symbol (`RPL` of
    `RPL13A`): genes of a family are near copies, and a split that tears them apart is answered by memory.
    """
    sets = data.uns["gene_sets"]
    known: dict[str, set[str]] = {}
    family: dict[str, str] = {}
    for number, (gene, name) in enumerate(zip(sets["gene"], sets["class"], strict=True)):
        known.setdefault(str(gene), set()).add(str(name))
        if "family" in sets:
            family[str(gene)] = str(sets["family"][number])
    only = {name for names in known.values() for name in names}
    out, families = np.full(data.n_vars, None, object), np.full(data.n_vars, "", object)
    ids = (data.var_names, data.var["gene_symbol"], data.var["ensembl_id"])
    for column in range(data.n_vars):
        names = next((name for name in (str(values[column]) for values in ids) if name and name in known), "")
        found = known.get(names, set())
        if len(found) == 1:
            out[column] = next(iter(found))
        elif len(only) == 1:
            out[column] = REST
        families[column] = family.get(names) or stem(str(data.var["gene_symbol"][column]))
    return out, families


def stem(symbol: str) -> str:
    """Return the leading letters of a symbol, or the whole of it where they are fewer than three."""
    found = re.match(r"[A-Za-z]{3,}", symbol)
    return found.group() if found and found.group() != symbol else symbol
