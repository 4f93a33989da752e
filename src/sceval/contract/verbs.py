"""What each verb of a model program writes, and under which name."""

from __future__ import annotations

from sceval.contract.schema import load

WRITES = {
    "embed-cells": "cell_embedding",
    "embed-genes": "gene_embedding",
    "integrate": "cell_embedding",
    "annotate": "annotation",
    "classify-genes": "gene_classes",
    "perturb": "perturbation",
    "perturb-insilico": "insilico",
    "infer-network": "network",
    "impute": "imputed",
    "simulate": "simulated",
}
"""Kind of file that each verb writes."""

EXTRAS = ("attention", "programs")
"""Tables that a program may write beside its output, as `<kind>.parquet`."""


def output_file(kind: str) -> str:
    """Return the name of the output of a kind: `output.h5ad`, or `output.parquet` for a table."""
    return "output.parquet" if load(kind)["format"] == "table" else "output.h5ad"
