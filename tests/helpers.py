"""Small datasets that several tests share."""

from sceval.contract.sample import sample_types as true_types
from sceval.contract.sample import sample_view as make_view
from sceval.contract.sample import take as reorder

__all__ = ["make_view", "reorder", "true_types"]
