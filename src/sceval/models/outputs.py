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
    """Write predicted labels with their probabilities, for the cells of `annotation.rows`."""
    best = annotation.probability.argmax(axis=1)
    out = CellFile(view.obs_names[annotation.rows])
    out.obs["prediction"] = np.asarray(annotation.classes, object)[best]
    out.obs["confidence"] = annotation.probability[np.arange(len(best)), best]
    out.obsm["probability"] = annotation.probability
    out.uns["classes"] = np.asarray(annotation.classes, object)
    contract.write("annotation", path, out)


def write_result(path: Path, view: CellFile, result: Embedding | Annotation) -> None:
    """Write whatever a verb returned; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(result, Embedding):
        write_embedding(path, view, result)
    else:
        write_annotation(path, view, result)
