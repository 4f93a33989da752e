"""The results of the verbs as arrays, and how they are written in the output formats of the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract.anndata_kind import write
from sceval.contract.h5ad import CellFile
from sceval.contract.light_tables import write_table


@dataclass(frozen=True)
class Embedding:
    """Result of `embed-cells` and `integrate`.

    Attributes
    ----------
    X
        n x d in the order of the view, NaN rows where impossible; None where only one of the others is given.
    corrected
        Corrected expression, n x g in the genes of the view, or None.
    connectivities
        Integrated graph, n x n CSR, or None.
    """

    X: np.ndarray | None
    corrected: np.ndarray | None = None
    connectivities: sparse.csr_matrix | None = None


@dataclass(frozen=True)
class Annotation:
    """Result of `annotate` for the cells of `rows`.

    Attributes
    ----------
    rows
        Positions in the view, m.
    classes
        Names of the classes, c.
    probability
        m x c, rows sum to 1.
    prediction
        Label of each cell, m, where it is not the most probable class (a drawn one, or `unassigned`).
    extras
        Tables to write beside it: kind (`attention`) -> its columns.
    """

    rows: np.ndarray
    classes: np.ndarray
    probability: np.ndarray
    prediction: np.ndarray | None = None
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class GeneEmbedding:
    """Result of `embed-genes`: a vector for each of `genes` (ids of the view), m x d, NaN rows where impossible."""

    genes: np.ndarray
    X: np.ndarray


@dataclass(frozen=True)
class GeneClasses:
    """Result of `classify-genes`: probabilities (m x c, rows sum to 1) of `classes` for `genes` (ids of the view)."""

    genes: np.ndarray
    classes: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Network:
    """Result of `infer-network`: edges from `source` to `target` (gene ids of the view); a higher score is surer.

    `group` names the group of cells (`obs['group']` of the view) of each edge, where the view has groups.
    """

    source: np.ndarray
    target: np.ndarray
    score: np.ndarray
    group: np.ndarray | None = None
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Perturbed:
    """Result of `perturb`: log1p CP10k expression, m x g in the genes of the view.

    Attributes
    ----------
    perturbation
        Perturbation of each row (m).
    X
        Cells, or one mean for each perturbation (and context).
    context
        Context of each row (m), where the view has contexts.
    """

    perturbation: np.ndarray
    X: np.ndarray
    context: np.ndarray | None = None


@dataclass(frozen=True)
class InSilico:
    """Result of `perturb-insilico`: for each of `genes` (ids of the view) what an action did to the cells' vectors.

    Attributes
    ----------
    genes
        Perturbed genes, m.
    action
        `delete` or `overexpress`.
    shift
        Mean over cells of 1 - cosine before and after (m), 0 to 2.
    n_cells
        Cells in which the gene was perturbed (m).
    toward_goal
        Mean change of the cosine with the goal's cells (m), or None.
    """

    genes: np.ndarray
    action: str
    shift: np.ndarray
    n_cells: np.ndarray
    toward_goal: np.ndarray | None = None


@dataclass(frozen=True)
class Imputed:
    """Result of `impute`: expected counts at the depth of the view, m x g, for the cells at `rows` of the view."""

    rows: np.ndarray
    X: np.ndarray


@dataclass(frozen=True)
class Simulated:
    """Result of `simulate`: counts of new cells (m x g CSR), their types, and their batches where the view has any."""

    X: sparse.csr_matrix
    cell_type: np.ndarray
    batch: np.ndarray | None = None


Result = Embedding | Annotation | GeneEmbedding | GeneClasses | Network | Perturbed | InSilico | Imputed | Simulated


def write_embedding(path: Path, view: CellFile, embedding: Embedding) -> None:
    """Write a cell embedding, float32, with the cell ids of the view."""
    out = CellFile(view.obs_names)
    if embedding.X is not None:
        out.obsm["X_emb"] = np.ascontiguousarray(embedding.X, dtype=np.float32)
    if embedding.corrected is not None:
        out.var_names = view.var_names
        out.layers["corrected"] = np.ascontiguousarray(embedding.corrected, dtype=np.float32)
    if embedding.connectivities is not None:
        out.obsp["connectivities"] = sparse.csr_matrix(embedding.connectivities, dtype=np.float32)
    write("cell_embedding", path, out)


def write_annotation(path: Path, view: CellFile, annotation: Annotation) -> None:
    """Write labels with their probabilities for the cells of `annotation.rows`.

    The confidence is the probability of the predicted class, or the largest probability where the prediction is none
    of the classes (`unassigned`).
    """
    classes = np.asarray(annotation.classes, object)
    best = annotation.probability.argmax(axis=1)
    prediction = classes[best] if annotation.prediction is None else np.asarray(annotation.prediction, object)
    position = {name: index for index, name in enumerate(classes)}
    column = np.array([position.get(name, index) for name, index in zip(prediction, best, strict=True)], int)
    out = CellFile(view.obs_names[annotation.rows])
    out.obs["prediction"] = prediction
    out.obs["confidence"] = annotation.probability[np.arange(len(column)), column]
    out.obsm["probability"] = annotation.probability
    out.uns["classes"] = classes
    write("annotation", path, out)


def write_gene_embedding(path: Path, view: CellFile, result: GeneEmbedding) -> None:
    """Write a gene embedding: one row for each gene, float32."""
    X = np.ascontiguousarray(result.X, dtype=np.float32)
    dimensions = np.array([f"d{i}" for i in range(X.shape[1])], object)
    write("gene_embedding", path, CellFile(np.asarray(result.genes, object), dimensions, X=X))


def write_gene_classes(path: Path, view: CellFile, result: GeneClasses) -> None:
    """Write the probability of each class for each gene, as a long table."""
    m, c = result.probability.shape
    columns = {
        "gene": np.repeat(np.asarray(result.genes, object), c),
        "class": np.tile(np.asarray(result.classes, object), m),
        "probability": np.asarray(result.probability, float).ravel(),
    }
    write_table("gene_classes", path, columns)


def write_network(path: Path, view: CellFile, result: Network) -> None:
    """Write scored edges."""
    columns = {"source": result.source, "target": result.target, "score": result.score}
    write_table("network", path, columns if result.group is None else columns | {"group": result.group})


def write_perturbed(path: Path, view: CellFile, result: Perturbed) -> None:
    """Write predicted expression with the genes of the view."""
    ids = np.array([f"p{i}" for i in range(len(result.X))], object)
    out = CellFile(ids, view.var_names, X=np.ascontiguousarray(result.X, dtype=np.float32))
    out.obs["perturbation"] = np.asarray(result.perturbation, object)
    if result.context is not None:
        out.obs["context"] = np.asarray(result.context, object)
    write("perturbation", path, out)


def write_insilico(path: Path, view: CellFile, result: InSilico) -> None:
    """Write what perturbing each gene did."""
    columns = {
        "gene": np.asarray(result.genes, object),
        "action": np.full(len(result.genes), result.action, object),
        "shift": np.asarray(result.shift, float),
        "n_cells": np.asarray(result.n_cells, np.int64),
    }
    if result.toward_goal is not None:
        columns["toward_goal"] = np.asarray(result.toward_goal, float)
    write_table("insilico", path, columns)


def write_imputed(path: Path, view: CellFile, result: Imputed) -> None:
    """Write expected counts with the genes of the view."""
    X = np.ascontiguousarray(result.X, dtype=np.float32)
    write("imputed", path, CellFile(view.obs_names[result.rows], view.var_names, X=X))


def write_simulated(path: Path, view: CellFile, result: Simulated) -> None:
    """Write new cells with the genes of the view."""
    ids = np.array([f"simulated{i}" for i in range(result.X.shape[0])], object)
    out = CellFile(ids, view.var_names, X=sparse.csr_matrix(result.X).astype(np.float32))
    out.obs["cell_type"] = np.asarray(result.cell_type, object)
    if result.batch is not None:
        out.obs["batch"] = np.asarray(result.batch, object)
    write("simulated", path, out)


_WRITERS: dict[type, Callable[[Path, CellFile, Any], None]] = {
    Embedding: write_embedding,
    Annotation: write_annotation,
    GeneEmbedding: write_gene_embedding,
    GeneClasses: write_gene_classes,
    Network: write_network,
    Perturbed: write_perturbed,
    InSilico: write_insilico,
    Imputed: write_imputed,
    Simulated: write_simulated,
}


def write_result(path: Path, view: CellFile, result: Result) -> None:
    """Write whatever a verb returned, and the tables that go with it; each file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for kind, columns in getattr(result, "extras", {}).items():
        write_table(kind, path.with_name(f"{kind}.parquet"), columns)
    _WRITERS[type(result)](path, view, result)
