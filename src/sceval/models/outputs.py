"""Writes the result of a verb in the output format of the contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sceval import contract
from sceval.contract import CellFile
from sceval.models.request import Annotation, Embedding


def write_embedding(path: Path, view: CellFile, embedding: Embedding) -> None:
    """Write a cell embedding, float32, with the cell ids of the view."""
    X = np.ascontiguousarray(embedding.X, dtype=np.float32)
    contract.write("cell_embedding", path, CellFile(view.obs_names, obsm={"X_emb": X}))


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
    contract.write("annotation", path, out)


def write_result(path: Path, view: CellFile, result: Embedding | Annotation) -> None:
    """Write whatever a verb returned; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(result, Embedding):
        write_embedding(path, view, result)
    else:
        write_annotation(path, view, result)
