"""Seeds, and random numbers that belong to a cell instead of to a position in a file.

A generator that walks through the cells gives a cell another draw when a neighbor is added, when the order changes or
when two workers share the file. Here every draw is a function of (seed, cell id, item), computed by hashing, so the
same cell gets the same draw wherever it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def derive_seed(seed: int, *names: object) -> int:
    """Derive an independent 63-bit seed from a run seed and a path of names (``derive_seed(1, "mask", epoch)``)."""
    text = "\x1f".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def seed_everything(seed: int, *, deterministic: bool = True) -> None:
    """Seed Python, NumPy's legacy generator and torch; new heads draw their weights from it.

    Parameters
    ----------
    seed
        Any integer.
    deterministic
        On CUDA, ask torch for deterministic kernels; where it has none it warns instead of failing.
    """
    import os
    import random

    import torch

    random.seed(seed)
    np.random.seed(derive_seed(seed, "numpy") % 2**32)
    torch.manual_seed(seed)
    if deterministic and torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _mix(x: np.ndarray) -> np.ndarray:
    """Finalizer of splitmix64 (Steele, Lea, Flood 2014), element by element on uint64."""
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))


def hash_ids(ids: Iterable[object]) -> np.ndarray:
    """Hash every id to a uint64 that is the same on every machine and in every process (BLAKE2b)."""
    digests = b"".join(hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def hashed_bits(cell_keys: np.ndarray, items: np.ndarray, seed: int) -> np.ndarray:
    """Draw 64 random bits for each pair of cell key and item; the arguments broadcast.

    Parameters
    ----------
    cell_keys
        uint64 keys from :func:`hash_ids`.
    items
        Non-negative integers that name the thing drawn for (a gene id, an ordinal).
    seed
        Seed of this kind of draw; use :func:`derive_seed` to keep kinds apart.
    """
    keys = np.asarray(cell_keys, dtype=np.uint64)
    things = np.asarray(items).astype(np.uint64)
    with np.errstate(over="ignore"):
        start = _mix(keys ^ _mix(np.atleast_1d(np.uint64(seed % 2**64)) + _GOLDEN))
        return _mix(start + (things + np.uint64(1)) * _GOLDEN)


def hashed_uniforms(cell_keys: np.ndarray, items: np.ndarray, seed: int) -> np.ndarray:
    """Draw a float64 in [0, 1) for each pair of cell key and item (53 bits of :func:`hashed_bits`)."""
    return (hashed_bits(cell_keys, items, seed) >> np.uint64(11)) * 2.0**-53
