"""The results of the verbs as arrays, and how they are written in the output formats of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sceval.contract.anndata_kind import write
from sceval.contract.h5ad import CellFile


@dataclass(frozen=True)
class Embedding:
    """Result of `embed-cells` and `integrate`: n x d in the order of the view, NaN rows where impossible."""

    X: np.ndarray


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
    """

    rows: np.ndarray
    classes: np.ndarray
    probability: np.ndarray
    prediction: np.ndarray | None = None


def write_embedding(path: Path, view: CellFile, embedding: Embedding) -> None:
    """Write a cell embedding, float32, with the cell ids of the view."""
    X = np.ascontiguousarray(embedding.X, dtype=np.float32)
    write("cell_embedding", path, CellFile(view.obs_names, obsm={"X_emb": X}))


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


def write_result(path: Path, view: CellFile, result: Embedding | Annotation) -> None:
    """Write whatever a verb returned; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(result, Embedding):
        write_embedding(path, view, result)
    else:
        write_annotation(path, view, result)
