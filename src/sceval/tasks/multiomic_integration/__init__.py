"""Multi-omic integration: RNA and a second modality (peaks, proteins) in one space; and does the second help.

Splits: `unpaired` (the study's: each modality is a batch, in one gene space; who pairs with whom is hidden),
`unpaired_labels` (the same, labels of 70 % of the cells shown), `paired` (one row a cell, all features) and `mosaic`
(a third of the cells have both, the others one).
"""

from sceval.tasks.multiomic_integration.task import TASK

__all__ = ["TASK"]
