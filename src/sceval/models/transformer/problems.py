"""What makes a checkpoint or a dataset unfit; the shared verbs turn these into exit codes."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint folder cannot be used; the message says what was found and what would be right."""


class UnfitCheckpoint(CheckpointError):
    """A sound checkpoint that cannot be used for what is asked: the run is not applicable."""


class NoKnownGenes(ValueError):
    """Nothing of the dataset is in the vocabulary: the run is not applicable."""
