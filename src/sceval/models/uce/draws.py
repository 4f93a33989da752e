"""Who draws the genes of a sentence and the order of its chromosomes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sceval.training.seed import derive_seed, hash_ids, hashed_bits, hashed_uniforms


class HashDraws:
    """Draws that depend on seed and cell id alone (the default).

    Parameters
    ----------
    cell_ids
        Names of the cells.
    seed
        Run seed.
    """

    in_order = False

    def __init__(self, cell_ids: Iterable[str], seed: int) -> None:
        self._keys = hash_ids(cell_ids)
        self._genes, self._chromosomes = derive_seed(seed, "uce", "genes"), derive_seed(seed, "uce", "chromosomes")

    def choose(self, cell: int, probability: np.ndarray, size: int) -> np.ndarray:
        """Return `size` positions, drawn with replacement with these probabilities (inverse of their sum)."""
        edges = np.cumsum(probability)
        u = hashed_uniforms(self._keys[cell], np.arange(size), self._genes)
        return np.minimum(np.searchsorted(edges / edges[-1], u, side="right"), len(edges) - 1)

    def shuffle(self, cell: int, codes: np.ndarray) -> np.ndarray:
        """Return the chromosomes in the order of their hashes."""
        return codes[np.argsort(hashed_bits(self._keys[cell], codes, self._chromosomes), kind="stable")]


class LegacyDraws:
    """Upstream's draws: NumPy's global legacy generator, which walks through the cells in order."""

    in_order = True

    def __init__(self, seed: int) -> None:
        self._generator = np.random.RandomState(seed)

    def choose(self, cell: int, probability: np.ndarray, size: int) -> np.ndarray:
        """Return `size` positions, drawn with replacement."""
        return self._generator.choice(len(probability), size, replace=True, p=probability)

    def shuffle(self, cell: int, codes: np.ndarray) -> np.ndarray:
        """Return the chromosomes shuffled."""
        codes = codes.copy()
        self._generator.shuffle(codes)
        return codes
