"""The second modality of a dataset (peaks or proteins): read beside the RNA, told to the plan, brought to genes.

`uns['second']` of a dataset is a `CellFile` with cells and features of its own, counts in `X`, `obs['cell_type']` where
the cells have labels, and `uns['kind']`: `atac` or `protein`. `uns['gene_positions']` is the table of
`gene_activity.read_positions`. RNA alone stands in the dataset's own `X`, so that every other task can use it.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, Problem, h5ad, h5mu
from sceval.contract.checks import counts, finite, nonnegative
from sceval.data.gene_activity import parse_peaks, peak_map, read_positions

RNA_NAMES = ("rna", "gex", "gene_expression")
"""What the RNA may be called in an `.h5mu` file."""

PEAK_SHARE = 0.9
"""Share of the features whose names must be positions for a modality to be peaks; below they are proteins."""


@cache
def _protein_table() -> dict[str, str]:
    text = resources.files("sceval").joinpath("assets", "multiome", "protein_genes.tsv").read_text()
    return {row["protein"]: row["gene"] for row in csv.DictReader(text.splitlines(), delimiter="\t")}


def gene_of_protein(name: str) -> str:
    """Return the gene of a protein as antibodies are labelled (`CD3`, `CD8a`, `CD4_TotalSeqB`); empty where unknown."""
    stem = name.split("_TotalSeq")[0].upper().replace("ANTI-HUMAN ", "").strip()
    table = _protein_table()
    # CD8a, CD19.1: a letter or a clone number after the name of the antigen.
    candidates = (stem, stem.split(".")[0], stem.removesuffix("A"), stem.split("-")[0])
    return next((table[word] for word in candidates if word in table), "")


def read_h5mu(path: Path) -> CellFile:
    """Return the RNA of an `.h5mu` file, the other modality in `uns['second']`.

    Raises
    ------
    ValueError
        If there is no RNA, no second modality, or more than one.
    """
    found = h5mu.read(path)
    rna = [name for name in found if name.lower().replace(" ", "_") in RNA_NAMES]
    rest = [name for name in found if name not in rna]
    if len(rna) != 1 or len(rest) != 1:
        msg = f"modalities {', '.join(found) or 'none'}; one called rna (or {', '.join(RNA_NAMES[1:])}) and one other"
        raise ValueError(msg)
    data = found[rna[0]]
    data.uns["second"] = found[rest[0]]
    return data


def _kind(names: np.ndarray) -> str:
    return "atac" if len(names) and parse_peaks(names)[3].mean() >= PEAK_SHARE else "protein"


def _proteins(raw: CellFile, key: str) -> CellFile:
    """Return the proteins of a key of obsm: a data frame, or a matrix whose names stand in `uns`.

    Raises
    ------
    ValueError
        If there is no such key, or no names.
    """
    if key not in raw.obsm:
        msg = f"no obsm[{key!r}] (there are {', '.join(sorted(raw.obsm)) or 'none'})"
        raise ValueError(msg)
    values = raw.obsm[key]
    if isinstance(values, dict):
        names, X = list(values), np.column_stack(list(values.values()))
    else:
        names, X = list(raw.uns.get(f"{key}_names", [])), values
    if len(names) != X.shape[1]:
        msg = f"obsm[{key!r}] with {X.shape[1]} columns and {len(names)} names; a data frame, or uns[{key}_names]"
        raise ValueError(msg)
    return CellFile(raw.obs_names, np.array(names, object), X=sparse.csr_matrix(X), obs=dict(raw.obs))


def add_second(row: dict[str, Any], raw: CellFile, data: CellFile, files: dict[str, Path], place: str) -> list[Problem]:
    """Add the second modality and the gene positions that a row names, or that the file brings along.

    Parameters
    ----------
    row
        Row of the datasets sheet.
    raw
        The file as read.
    data
        The dataset, changed in place.
    files
        Column of the sheet -> where its file lies now.
    place
        Sheet and row, for messages.
    """
    problems: list[Problem] = []
    second = raw.uns.get("second") if isinstance(raw.uns.get("second"), CellFile) else None
    column = "path"
    try:
        if row.get("second"):
            column = "second"
            second = h5ad.read(_existing(files.get(column)))
        elif row.get("proteins"):
            column = "proteins"
            second = _proteins(raw, row[column])
    except (OSError, KeyError, ValueError) as error:
        expected = "an AnnData file (.h5ad)" if column == "second" else "proteins with names and counts"
        problems.append(Problem(f"{place}, column {column}", f"{row[column]}: {error}", expected))
    try:
        if row.get("gene_positions"):
            data.uns["gene_positions"] = read_positions(_existing(files.get("gene_positions")))
        elif "gene_positions" in raw.uns and row["path"].startswith("embedded:"):
            data.uns["gene_positions"] = raw.uns["gene_positions"]
    except (OSError, ValueError, UnicodeDecodeError) as error:
        expected = "a tab-separated table with chrom, start, end, strand, symbol"
        problems.append(Problem(f"{place}, column gene_positions", f"{row['gene_positions']}: {error}", expected))
    if second is None or problems:
        return problems
    finding = next((found for check in (finite, counts, nonnegative) if (found := check(second.X))), None)
    if finding:
        return [Problem(f"{place}, column {column}: second modality", *finding)]
    twice = next((n for ids in (second.obs_names, second.var_names) if (n := len(ids) - len(set(ids)))), 0)
    if twice:
        return [
            Problem(f"{place}, column {column}: second modality", f"{twice} repeated ids", "unique cells and features")
        ]
    out = CellFile(second.obs_names, second.var_names, X=sparse.csr_matrix(second.X).astype(np.float32))
    out.uns["kind"] = _kind(second.var_names)
    labels = second.obs.get(row["label_key"]) if row.get("label_key") else None
    if labels is None and "cell_type" in data.obs:  # a file without labels: its cells have those of their pairs
        known = dict(zip(data.obs_names, data.obs["cell_type"], strict=True))
        labels = [known.get(name) for name in second.obs_names]
    if labels is not None:
        text = [None if v is None or v != v else str(v).strip() for v in labels]
        out.obs["cell_type"] = np.array([v if v else None for v in text], object)
    data.uns["second"] = out
    if "factor" in raw.obs and row["path"].startswith("embedded:"):
        data.obs["factor"] = raw.obs["factor"]
    return []


def _existing(path: Path | None) -> Path:
    if path is None or not path.is_file():
        msg = "no such file"
        raise ValueError(msg)
    return path


def pairs(data: CellFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the cells that have both modalities: in the RNA, in the second."""
    place = {name: row for row, name in enumerate(data.uns["second"].obs_names)}
    both = [(row, place[name]) for row, name in enumerate(data.obs_names) if name in place]
    found = np.array(both, int).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def as_genes(data: CellFile, rule: str = "body") -> tuple[sparse.csr_matrix, np.ndarray]:
    """Return the second modality as counts of genes (m x g), and names (g): of RNA genes, and of proteins' other genes.

    Peaks become gene activity by `peak_map`. Proteins are renamed to their genes (those of one gene added up).
    """
    second = data.uns["second"]
    if second.uns["kind"] == "atac":
        genes = {"ids": data.var_names, "symbols": data.var["gene_symbol"], "ensembl": data.var["ensembl_id"]}
        table = data.uns.get("gene_positions")
        empty = sparse.csr_matrix((second.n_vars, data.n_vars), dtype=np.float32)
        at = empty if table is None else peak_map(second.var_names, table, genes, rule)
        return sparse.csr_matrix(second.X @ at), data.var_names
    names = {str(s): str(n) for s, n in zip(data.var["gene_symbol"], data.var_names, strict=True)}
    genes = [gene_of_protein(str(name)) for name in second.var_names]
    ids = [names.get(gene, gene) for gene in genes]
    every = np.array([*data.var_names, *sorted({name for name in ids if name} - set(data.var_names))], object)
    place = {name: column for column, name in enumerate(every)}
    known = [row for row, name in enumerate(ids) if name]
    shape = (second.n_vars, len(every))
    at = sparse.csr_matrix((np.ones(len(known), np.float32), (known, [place[ids[row]] for row in known])), shape)
    return sparse.csr_matrix(second.X @ at), every


def card_of_second(data: CellFile) -> dict[str, Any]:
    """Return what the plan needs to know of the second modality; nothing where there is none."""
    second = data.uns.get("second")
    if second is None:
        return {}
    activity = as_genes(data)[0]
    return {
        "second": second.uns["kind"],
        "cells_of_second": second.n_obs,
        "features_of_second": second.n_vars,
        "pairs": len(pairs(data)[0]),
        "genes_of_second": int((np.asarray(activity.sum(axis=0)).ravel() > 0).sum()),
        "gene_positions": "gene_positions" in data.uns,
    }
