"""Who draws, when a long cell is cut or values are masked."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from sceval.training.seed import derive_seed, hashed_bits


class Chooser(Protocol):
    """Anything that picks ``k`` of the items of one cell."""

    def choose(self, cell: int, items: np.ndarray, k: int) -> np.ndarray:
        """Return ``k`` distinct positions in ``items`` for the cell with this row number."""


class HashChooser:
    """Draws that depend on seed, cell id and gene id only (the default): the k items with the smallest hashes.

    Parameters
    ----------
    cell_keys
        uint64 key of each cell of the dataset, from :func:`sceval.training.seed.hash_ids`.
    seed
        Run seed.
    purpose
        Names that keep kinds of draws apart, e.g. ``("mask", epoch)``.
    """

    def __init__(self, cell_keys: np.ndarray, seed: int, *purpose: object) -> None:
        self._keys = cell_keys
        self._seed = derive_seed(seed, *purpose)

    def choose(self, cell: int, items: np.ndarray, k: int) -> np.ndarray:
        """Return ``k`` positions in ascending order."""
        bits = hashed_bits(self._keys[cell], items, self._seed)
        return np.sort(np.argsort(bits, kind="stable")[:k])


class LegacyChooser:
    """Upstream's draws: one numpy legacy generator that walks through the cells in order (for parity)."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.RandomState(seed)

    def choose(self, cell: int, items: np.ndarray, k: int) -> np.ndarray:
        """Return ``k`` positions in the order drawn."""
        return self._generator.choice(len(items), k, replace=False)
