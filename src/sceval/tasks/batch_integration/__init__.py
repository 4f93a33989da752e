"""Batch integration: whether batches are mixed, cell types apart, and the cells' own geometry kept."""

from sceval.tasks.batch_integration.task import TASK

__all__ = ["TASK"]
