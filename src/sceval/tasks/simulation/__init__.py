"""Simulation: can a model that saw some cells make new ones of the same types and batches.

The new cells are compared with held-out real ones; cells that copy a training cell count for nothing.
"""

from sceval.tasks.simulation.task import TASK

__all__ = ["TASK"]
