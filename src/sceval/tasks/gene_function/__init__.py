"""Gene function: can the class of a gene (dosage sensitive, essential, a GO term) be read from what a model knows.

Genes are the units: some have a class that the model may see, the others are asked for.
"""

from sceval.tasks.gene_function.task import TASK

__all__ = ["TASK"]
