"""Gene network: are a model's edges between genes in a reference network, and do its programs mean something.

Regulators are the units: each is a source with edges of its own.
"""

from sceval.tasks.gene_network.task import TASK

__all__ = ["TASK"]
