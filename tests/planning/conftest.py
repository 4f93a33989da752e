"""Cards, rows and answers from which plans are made."""

from __future__ import annotations

import pytest

from sceval.data.sheets import DATASETS


def _sheet_row(dataset: str) -> dict:
    row = {column.name: column.default for column in DATASETS}
    return row | {"dataset": dataset, "path": f"{dataset}.h5ad", "row": 2, "batch_key": "batch"}


@pytest.fixture
def card():
    """Return `card(dataset="d", **columns)`: a dataset card with two batches and three types."""

    def make(dataset: str = "d", **columns) -> dict:
        base = {
            "dataset": dataset, "path": f"{dataset}.h5ad", "row": 2, "organism": "human", "matrix": "counts",
            "tasks": ["batch_integration", "cell_type_annotation"],
            "query": "", "n_cells": 10, "n_batches": 2, "n_types": 3, "cells_per_batch": {"a": 5, "b": 5},
            "cells_per_type": {"t": 4, "u": 3, "v": 3}, "gene_symbols": ["A", "B", "C", "D"],
            "ensembl_ids": ["E1", "E2", "", ""], "sheet_row": _sheet_row(dataset),
        }  # fmt: skip
        return base | columns

    return make


@pytest.fixture
def model():
    """Return `model(name, **columns)`: a row of the models sheet; its key is its name."""

    def make(name: str = "m", **columns) -> dict:
        base = {
            "model": name, "key": name, "image": f"img/{name}", "program": "", "params": {}, "regimes": [],
            "weights": "", "kind": "model", "verbs": [], "row": 2, "deterministic": "",
        }  # fmt: skip
        return base | columns

    return make


@pytest.fixture
def info():
    """Return `info(regimes, **fields)`: what a program answers, with the verbs of the regimes."""

    def make(regimes: dict[str, list[str]], genes: set[str] | None = None, **fields) -> dict:
        answer = {"name": "x", "version": "1", "verbs": list(regimes), "regimes": regimes} | fields
        return {"info": answer, "genes": genes}

    return make
