"""Cell type annotation: labels of held-out cells from labelled ones.

Within a dataset, across batches, datasets or species, with few labels, and with types that the reference lacks.
"""

from sceval.tasks.cell_type_annotation.task import TASK

__all__ = ["TASK"]
