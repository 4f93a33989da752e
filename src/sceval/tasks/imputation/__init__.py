"""Imputation: expected counts behind what was measured, scored on counts that no model saw.

Three ways of hiding: whole counts by thinning, single entries by masking, and whole genes of spots.
"""

from sceval.tasks.imputation.task import TASK

__all__ = ["TASK"]
