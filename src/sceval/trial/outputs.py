"""The output of a verb as numbers with names, so that two calls can be compared whatever the order they wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sceval.contract import CellFile, anndata_kind, h5ad
from sceval.contract.errors import ContractError
from sceval.contract.light_tables import read_table
from sceval.contract.schema import load
from sceval.contract.verbs import WRITES, output_file


class Unfit(Exception):
    """The output cannot be compared: what was found, in one sentence."""


@dataclass(frozen=True)
class Values:
    """Numbers of an output.

    Attributes
    ----------
    names
        What each row is of (m): cell, gene, edge, perturbation, group.
    X
        m x d, columns in an order that does not depend on the file's.
    what
        Plural of what the rows are.
    """

    names: np.ndarray
    X: np.ndarray
    what: str


def _dense(X: object) -> np.ndarray:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, float)


def _in_genes(out: CellFile, view: CellFile) -> np.ndarray:
    """Return X with one column for each gene of the view, sorted by id."""
    place = {name: column for column, name in enumerate(out.var_names)}
    genes = sorted(view.var_names)
    absent = [name for name in genes if name not in place]
    if absent:
        msg = f"{len(absent)} of {len(genes)} genes of the view are absent, the first is {absent[0]!r}"
        raise Unfit(msg)
    return _dense(out.X)[:, [place[name] for name in genes]]


def _joined(*columns: np.ndarray) -> np.ndarray:
    return np.array([" | ".join(map(str, row)) for row in zip(*columns, strict=True)], object)


def _mean_of(names: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each name once, with the mean of its rows."""
    kinds, code = np.unique(names.astype(str), return_inverse=True)
    total = np.zeros((len(kinds), X.shape[1]))
    np.add.at(total, code, X)
    return kinds.astype(object), total / np.bincount(code)[:, None]


def _embedding(out: CellFile, view: CellFile) -> Values:
    held = (out.obsm.get("X_emb"), out.layers.get("corrected"), out.obsp.get("connectivities"))
    found = next((matrix for matrix in held if matrix is not None), None)
    if found is None:
        msg = "it holds neither obsm/X_emb nor layers/corrected nor obsp/connectivities"
        raise Unfit(msg)
    return Values(out.obs_names, _dense(found), "cells")


def _annotation(out: CellFile, view: CellFile) -> Values:
    """Return probabilities by class name; labels as 0 and 1 where the output has none."""
    if "probability" in out.obsm:
        order = np.argsort(np.asarray(out.uns["classes"]).astype(str), kind="stable")
        return Values(out.obs_names, np.asarray(out.obsm["probability"], float)[:, order], "cells")
    known = sorted({label for label in view.obs["cell_type"] if label is not None})
    prediction = out.obs["prediction"].astype(str)
    return Values(out.obs_names, (prediction[:, None] == np.array([*known, "unassigned"])).astype(float), "cells")


def _genes(out: CellFile, view: CellFile) -> Values:
    return Values(out.obs_names, _dense(out.X), "genes")


def _perturbed(out: CellFile, view: CellFile) -> Values:
    names, X = _mean_of(out.obs["perturbation"], _in_genes(out, view))
    return Values(names, X, "perturbations")


def _imputed(out: CellFile, view: CellFile) -> Values:
    return Values(out.obs_names, _in_genes(out, view), "cells")


def _group(out: CellFile) -> np.ndarray:
    return _joined(out.obs["cell_type"], out.obs["batch"]) if "batch" in out.obs else out.obs["cell_type"]


def _simulated(out: CellFile, view: CellFile) -> Values:
    """Return the mean of each group: new cells have no name by which they could be compared."""
    told = view.uns["simulation"]
    batches = told["batch"] if "batch" in out.obs else np.full(len(told["n"]), "")
    found, wanted = {}, {}
    for name in _group(out):
        found[name] = found.get(name, 0) + 1
    for kind, batch, n in zip(told["cell_type"], batches, told["n"], strict=True):
        name = f"{kind} | {batch}" if "batch" in out.obs else kind
        wanted[name] = wanted.get(name, 0) + int(n)
    for name, n in wanted.items():
        if found.get(name, 0) != n:
            msg = f"{found.get(name, 0)} cells of {name}, and {n} were asked for"
            raise Unfit(msg)
    names, X = _mean_of(_group(out), _in_genes(out, view))
    return Values(names, X, "groups")


def _gene_classes(columns: dict[str, np.ndarray], view: CellFile) -> Values:
    genes, row = np.unique(columns["gene"].astype(str), return_inverse=True)
    classes, column = np.unique(columns["class"].astype(str), return_inverse=True)
    X = np.zeros((len(genes), len(classes)))
    X[row, column] = columns["probability"]
    off = np.abs(X.sum(axis=1) - 1)
    if off.max(initial=0.0) > 1e-3:
        msg = f"the probabilities of gene {genes[off.argmax()]!r} add up to {X[off.argmax()].sum():.4g}, not to 1"
        raise Unfit(msg)
    return Values(genes.astype(object), X, "genes")


def _network(columns: dict[str, np.ndarray], view: CellFile) -> Values:
    for name in ("source", "target"):
        strange = sorted(set(columns[name]) - set(view.var_names))
        if strange:
            msg = f"column {name}: {strange[0]!r} is no gene of the view"
            raise Unfit(msg)
    names = _joined(columns["source"], columns["target"])
    return Values(names, np.asarray(columns["score"], float)[:, None], "edges")


def _insilico(columns: dict[str, np.ndarray], view: CellFile) -> Values:
    names = _joined(columns["gene"], columns["action"])
    return Values(names, np.asarray(columns["shift"], float)[:, None], "genes")


_READ: dict[str, Callable[..., Values]] = {
    "cell_embedding": _embedding,
    "annotation": _annotation,
    "gene_embedding": _genes,
    "gene_classes": _gene_classes,
    "network": _network,
    "perturbation": _perturbed,
    "insilico": _insilico,
    "imputed": _imputed,
    "simulated": _simulated,
}


def problems_of(verb: str, folder: Path) -> list[str]:
    """Return what breaks the contract in the output that a verb wrote into a folder."""
    kind = WRITES[verb]
    path = folder / output_file(kind)
    if load(kind)["format"] == "table":
        try:
            read_table(kind, path)
        except ContractError as error:
            return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
        return []
    return [str(problem).replace(f"{folder}/", "") for problem in anndata_kind.check(kind, path)]


def read_values(verb: str, folder: Path, view: CellFile) -> Values:
    """Return the numbers of an output that keeps to the contract.

    Raises
    ------
    Unfit
        If they do not belong to the view.
    """
    kind = WRITES[verb]
    path = folder / output_file(kind)
    content = read_table(kind, path) if load(kind)["format"] == "table" else h5ad.read(path)
    return _READ[kind](content, view)


def expected(verb: str, view: CellFile) -> np.ndarray | None:
    """Return the names that the rows must have; None where a program may choose (edges, genes it knows, groups)."""
    if verb in ("embed-cells", "integrate", "impute"):
        return view.obs_names
    if verb == "annotate":
        return view.obs_names[view.obs["part"] == "test"]
    if verb == "classify-genes":
        return view.var_names[view.var["part"] == "test"]
    if verb == "perturb":
        return np.asarray(view.uns["perturbation"]["targets"], object)
    return None
