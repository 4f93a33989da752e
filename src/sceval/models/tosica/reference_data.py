"""Which reference cells train and which pick the epoch."""

from __future__ import annotations

import numpy as np

from sceval.training.batching import holdout_split
from sceval.training.seed import derive_seed

LARGEST_TOTAL = 2_000_000
"""Classes are resampled to at most this many cells together (official constant)."""

TRAIN_SHARE = 0.7
"""Share of training cells in the official split."""


def balanced_size(codes: np.ndarray) -> int:
    """Return to how many cells each class is resampled: the size of the largest, bounded by `LARGEST_TOTAL`."""
    sizes = np.unique(codes, return_counts=True)[1]
    return int(min(sizes.max(), LARGEST_TOTAL // len(sizes)))


def balance(codes: np.ndarray, rng: np.random.RandomState | np.random.Generator) -> np.ndarray:
    """Return rows drawn with replacement, the same number of each class, class by class.

    Parameters
    ----------
    codes
        Class of each row, n.
    rng
        One draw for each class in the order of the codes. The official code seeds NumPy's legacy generator.
    """
    size = balanced_size(codes)
    members = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    return np.concatenate([own[rng.choice(len(own), size)] for own in members])


def official_split(codes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation rows as the official code draws them: balanced first, then split 70 to 30.

    The same cell can lie in both parts, because classes are resampled before the split.
    """
    import torch

    rows = balance(codes, np.random.RandomState(seed % 2**32))
    generator = torch.Generator().manual_seed(seed % 2**32)
    order = torch.randperm(len(rows), generator=generator).numpy()
    size = int(len(rows) * TRAIN_SHARE)
    return rows[order[:size]], rows[order[size:]]


def sound_split(
    codes: np.ndarray, validation: np.ndarray | None, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return training rows, balanced, and validation rows, each once and in no training row.

    Parameters
    ----------
    codes
        Class of each reference cell, n.
    validation
        True for cells that pick the epoch, n; None draws a stratified share of `fraction`.
    fraction
        Share of validation cells where none are given.
    seed
        Seeds the draws.
    """
    if validation is None:
        train, held = holdout_split(np.arange(len(codes)), fraction, seed=seed, strata=codes)
    else:
        train, held = np.flatnonzero(~validation), np.flatnonzero(validation)
    rng = np.random.default_rng(derive_seed(seed, "tosica", "balance"))
    return train[balance(codes[train], rng)], held
