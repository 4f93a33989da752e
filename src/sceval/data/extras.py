"""What a dataset holds beside cells, genes, batch and label: read by its row, told to the plan in its card.

`uns['gene_sets']` (gene, class, perhaps family), `uns['network']` (source, target), `obs['perturbation']`,
`obs['context']` and `uns['perturbation']['control']`, `obsm['spatial']` (positions); embedded datasets bring theirs
along.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile, Problem
from sceval.data.sheets import nearest


def _lines(path: Path) -> list[list[str]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = csv.reader(raw.decode("utf-8").splitlines(), delimiter="\t")
    return [row for row in rows if row and not row[0].startswith("#")]


def read_gene_sets(path: Path) -> dict[str, np.ndarray]:
    """Read gene classes: a TSV with a header (`gene`, `class`, perhaps `family`), or a GMT file (one set a line).

    Raises
    ------
    ValueError
        If it is neither; the message says what was found.
    """
    rows = _lines(path)
    if not rows:
        msg = "an empty file"
        raise ValueError(msg)
    if ".gmt" in path.suffixes:
        pairs = [(gene, row[0]) for row in rows for gene in row[2:] if gene]
        if not pairs:
            msg = "a GMT file without genes (a line is: name, description, genes, separated by tabs)"
            raise ValueError(msg)
        return {"gene": np.array([g for g, _ in pairs], object), "class": np.array([c for _, c in pairs], object)}
    return _columns(rows, ("gene", "class"), ("family",))


def read_network(path: Path) -> dict[str, np.ndarray]:
    """Read true edges: a TSV with a header that has `source` and `target`; see `read_gene_sets` for errors.

    `tf` or `regulator` is taken for `source`, and `gene` for `target`, where those are absent.
    """
    rows = _lines(path)
    header = [name.strip().lower() for name in rows[0]] if rows else []
    for name, others in (("source", ("tf", "regulator")), ("target", ("gene",))):
        other = next((other for other in others if other in header), None)
        if name not in header and other:
            header[header.index(other)] = name
    return _columns([header, *rows[1:]], ("source", "target"), ())


def _columns(rows: list[list[str]], wanted: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, np.ndarray]:
    header = [name.strip().lower() for name in rows[0]] if rows else []
    absent = [name for name in wanted if name not in header]
    if absent:
        msg = f"columns {', '.join(header[:8]) or 'none'}; a tab-separated header with {', '.join(wanted)} is needed"
        raise ValueError(msg)
    keep = [name for name in (*wanted, *optional) if name in header]
    places = {name: header.index(name) for name in keep}
    short = next((number for number, row in enumerate(rows[1:], 2) if len(row) <= max(places.values())), None)
    if short:
        msg = f"row {short} with {len(rows[short - 1])} fields under {len(header)} columns"
        raise ValueError(msg)
    return {name: np.array([row[place].strip() for row in rows[1:]], object) for name, place in places.items()}


def embedded_file(text: str) -> Path | None:
    """Return the file behind `embedded:NAME` in a column of the sheet: a table that ships with the package."""
    if not text.startswith("embedded:"):
        return None
    folder = Path(str(resources.files("sceval").joinpath("assets", "gene_sets")))
    found = sorted(folder.glob(f"{text.removeprefix('embedded:')}.[tg]*"))
    return found[0] if found else folder / f"{text.removeprefix('embedded:')}.tsv"


_READERS = {"gene_sets": read_gene_sets, "network": read_network}


def add_extras(row: dict[str, Any], raw: CellFile, data: CellFile, files: dict[str, Path], place: str) -> list[Problem]:
    """Add to `data` what its row of the sheet names beside the matrix, and return what is wrong.

    Parameters
    ----------
    row
        Row of the datasets sheet.
    raw
        The file as read; what embedded cells bring along is taken over.
    data
        The dataset, changed in place.
    files
        Column of the sheet -> where its file lies now.
    place
        Sheet and row, for messages.
    """
    problems = []
    for name in ("gene_sets", "network", "perturbation"):
        if name in raw.uns and row["path"].startswith("embedded:"):
            data.uns[name] = raw.uns[name]
    if row["path"].startswith("embedded:"):
        data.obs |= {name: raw.obs[name] for name in ("perturbation", "context", "pool", "modality") if name in raw.obs}
        data.var |= {name: raw.var[name] for name in ("modality",) if name in raw.var}
        data.obsm |= raw.obsm
    positions = np.asarray(raw.obsm.get("spatial", np.empty(0)))
    if (
        positions.ndim == 2
        and positions.shape[1] >= 2
        and positions.dtype.kind in "fiu"
        and np.isfinite(positions).all()
    ):
        data.obsm["spatial"] = positions[:, :2].astype(np.float64)
    for column, reader in _READERS.items():
        if not row.get(column):
            continue
        path = embedded_file(row[column]) or files.get(column)
        try:
            if path is None or not path.is_file():
                msg = "no such file"
                raise ValueError(msg)
            data.uns[column] = reader(path)
        except (OSError, ValueError, UnicodeDecodeError) as error:
            expected = "a tab-separated file, as the docs on datasets say"
            problems.append(Problem(f"{place}, column {column}", f"{row[column]}: {error}", expected))
    problems += _foreign_network(row, data, place)
    for column, target in (("perturbation_key", "perturbation"), ("context_key", "context")):
        key = row.get(column)
        if not key:
            continue
        if key not in raw.obs:
            expected = f"a column of obs ({', '.join(sorted(raw.obs))}){nearest(key, sorted(raw.obs))}"
            problems.append(Problem(f"{place}, column {column}", repr(key), expected))
            continue
        data.obs[target] = np.array([None if v is None or v != v else str(v).strip() for v in raw.obs[key]], object)
    if "perturbation" in data.obs:
        control = row.get("control") or "control"
        data.uns.setdefault("perturbation", {"control": control})
        control = data.uns["perturbation"]["control"]
        known = sorted({v for v in data.obs["perturbation"] if v is not None})
        if control not in known:
            found = f"{control!r}, which no cell has in obs[{row.get('perturbation_key') or 'perturbation'!r}]"
            expected = f"the name of the control cells (found: {', '.join(known[:6])} ...){nearest(control, known)}"
            problems.append(Problem(f"{place}, column control", found, expected))
    return problems


def _foreign_network(row: dict[str, Any], data: CellFile, place: str) -> list[Problem]:
    """Return a problem where no gene of a reference network is one of the dataset."""
    edges = data.uns.get("network")
    if not edges or not len(edges["source"]):
        return []
    named = list(dict.fromkeys([*edges["source"], *edges["target"]]))
    known = set(data.var_names) | set(data.var["gene_symbol"]) | set(data.var["ensembl_id"])
    if any(gene in known for gene in named):
        return []
    found = f"{row.get('network') or 'a network'} of {len(named)} genes, none of them in the dataset ({named[0]!r} ...)"
    ids = ", ".join(repr(str(name)) for name in data.var_names[:2])
    symbols = next((repr(str(s)) for s in data.var["gene_symbol"] if s and s not in data.var_names), "")
    ensembl = next((repr(str(i)) for i in data.var["ensembl_id"] if i), "")
    more = " and ".join(text for text in (symbols, ensembl) if text)
    expected = f"gene ids of the dataset, as {ids}" + (f", or its symbols or Ensembl ids, as {more}" if more else "")
    return [Problem(f"{place}, column network", found, expected)]


def contexts_that_share(data: CellFile) -> list[str]:
    """Return the contexts that have controls and a perturbation that another of them has too."""
    control = data.uns["perturbation"]["control"]
    pairs = set(zip(data.obs["perturbation"], data.obs["context"], strict=True))
    inside = {(name, context) for name, context in pairs if name and context and (control, context) in pairs}
    counts = Counter(name for name, _ in inside if name != control)
    return sorted({context for name, context in inside if counts[name] > 1})


def card_of_extras(data: CellFile) -> dict[str, Any]:
    """Return what the plan needs to know of the extras: names and counts, no long lists."""
    card: dict[str, Any] = {}
    genes = set(data.var_names) | set(data.var["gene_symbol"]) | set(data.var["ensembl_id"])
    if sets := data.uns.get("gene_sets"):
        here = [c for g, c in zip(sets["gene"], sets["class"], strict=True) if g in genes]
        card["genes_per_class"] = dict(sorted(Counter(here).items()))
    if edges := data.uns.get("network"):
        inside = [s in genes and t in genes for s, t in zip(edges["source"], edges["target"], strict=True)]
        card["edges"], card["edges_inside"] = len(inside), int(sum(inside))
    if "perturbation" in data.obs:
        counts = Counter(v for v in data.obs["perturbation"] if v is not None)
        card["control"] = data.uns["perturbation"]["control"]
        card["cells_per_perturbation"] = dict(sorted(counts.items()))
    if "context" in data.obs:
        card["cells_per_context"] = dict(sorted(Counter(v for v in data.obs["context"] if v is not None).items()))
    if "perturbation" in data.obs and "context" in data.obs:
        card["contexts_that_share"] = contexts_that_share(data)
    if "modality" in data.obs:
        card["cells_per_modality"] = dict(sorted(Counter(data.obs["modality"]).items()))
    if "spatial" in data.obsm:
        card["spatial"] = True
    return card
