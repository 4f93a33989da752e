"""The declarations behind registry.py, as plain rows: one module for each group of tasks."""

from __future__ import annotations

from sceval.metrics.declarations import (
    annotation,
    gene_function,
    gene_network,
    imputation,
    integration,
    multiomic,
    perturbation,
    simulation,
    structure,
)

ROWS = (
    *integration.ROWS,
    *multiomic.ROWS,
    *structure.ROWS,
    *annotation.ROWS,
    *gene_function.ROWS,
    *gene_network.ROWS,
    *perturbation.ROWS,
    *simulation.ROWS,
    *imputation.ROWS,
)
