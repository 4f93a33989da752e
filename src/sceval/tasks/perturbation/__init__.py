"""Perturbation: what does a perturbation, a combination or a context that was never seen do to expression.

Perturbations (with their contexts) are the units: the cells of some are seen, those of others are asked for.
"""

from sceval.tasks.perturbation.task import TASK

__all__ = ["TASK"]
