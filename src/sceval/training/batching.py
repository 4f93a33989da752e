"""Which cells stand together in a mini-batch.

Every function returns lists of row numbers in which each given row occurs exactly once. Mini-batches are cut to nearly
equal sizes: a rest of one or two cells would give noisy gradients and useless batch statistics.
"""

from __future__ import annotations

import numpy as np

from sceval.training.seed import derive_seed


def split_evenly(rows: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut rows into the fewest parts of at most ``batch_size``, of nearly equal sizes."""
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    rows = np.asarray(rows)
    if rows.size == 0:
        return []
    return np.array_split(rows, -(-rows.size // batch_size))


def shuffled_batches(rows: np.ndarray, batch_size: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Mini-batches of one training epoch in an order that changes with the epoch."""
    generator = np.random.default_rng(derive_seed(seed, "shuffle", epoch))
    return split_evenly(generator.permutation(np.asarray(rows)), batch_size)


def bucketed_batches(
    rows: np.ndarray, lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int, window: int = 16
) -> list[np.ndarray]:
    """Mini-batches of one training epoch in which cells have similar lengths, in an order that changes with the epoch.

    Rows are shuffled, sorted by length within windows of `window` mini-batches, cut, and the mini-batches shuffled:
    little is padded, and which cells stand together still differs from epoch to epoch.

    Parameters
    ----------
    rows
        Row numbers of the training cells.
    lengths
        Length of each cell of the dataset; ``lengths[rows]`` are used.
    batch_size
        Most cells in a mini-batch.
    window
        Mini-batches that are sorted together.
    """
    generator = np.random.default_rng(derive_seed(seed, "shuffle", epoch))
    lengths = np.asarray(lengths)
    shuffled = generator.permutation(np.asarray(rows))
    batches: list[np.ndarray] = []
    for part in split_evenly(shuffled, batch_size * window):
        batches += split_evenly(part[np.argsort(lengths[part], kind="stable")], batch_size)
    return [batches[i] for i in generator.permutation(len(batches))]


def pure_batches(rows: np.ndarray, codes: np.ndarray, batch_size: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """Mini-batches of one training epoch in which all cells have the same code (for per-batch normalization).

    Parameters
    ----------
    rows
        Row numbers of the training cells.
    codes
        One code for each cell of the dataset; ``codes[rows]`` are used.
    """
    generator = np.random.default_rng(derive_seed(seed, "pure", epoch))
    rows = np.asarray(rows)
    own = np.asarray(codes)[rows]
    batches: list[np.ndarray] = []
    for code in np.unique(own):
        batches += split_evenly(generator.permutation(rows[own == code]), batch_size)
    return [batches[i] for i in generator.permutation(len(batches))]


def length_buckets(
    lengths: np.ndarray, batch_size: int, *, max_tokens: int | None = None, codes: np.ndarray | None = None
) -> list[np.ndarray]:
    """Mini-batches for inference, cells of similar length together, so that little is padded.

    Parameters
    ----------
    lengths
        Number of tokens of each cell.
    batch_size
        Most cells in a mini-batch.
    max_tokens
        Most tokens in a padded mini-batch (cells x longest); a single longer cell still gets its own.
    codes
        Where given, all cells of a mini-batch have the same code.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable") if codes is None else np.lexsort((-lengths, np.asarray(codes)))
    batches: list[np.ndarray] = []
    start = 0
    while start < order.size:
        longest = max(int(lengths[order[start]]), 1)
        size = batch_size if max_tokens is None else max(1, min(batch_size, max_tokens // longest))
        stop = min(start + size, order.size)
        if codes is not None:
            own = np.asarray(codes)[order[start:stop]]
            stop = start + int(np.argmax(own != own[0])) if (own != own[0]).any() else stop
        batches.append(order[start:stop])
        start = stop
    return batches


def holdout_split(
    rows: np.ndarray, fraction: float, *, seed: int, strata: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into a training and a validation part, stratum by stratum.

    A stratum gives ``round(fraction * size)`` cells to validation and always keeps at least one for training. If no
    stratum is large enough, one row is held out all the same, so that an epoch can be chosen.

    Parameters
    ----------
    rows
        Row numbers to split.
    fraction
        Share of validation cells, 0 to below 1; 0 gives an empty validation part.
    strata
        One code for each cell of the dataset (a class, a batch).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation fraction must lie in [0, 1), got {fraction}")
    rows = np.asarray(rows)
    generator = np.random.default_rng(derive_seed(seed, "holdout"))
    codes = np.zeros(rows.size, dtype=np.int64) if strata is None else np.asarray(strata)[rows]
    held = np.zeros(rows.size, dtype=bool)
    for code in np.unique(codes):
        members = generator.permutation(np.flatnonzero(codes == code))
        held[members[: min(round(fraction * members.size), members.size - 1)]] = True
    if fraction > 0 and not held.any() and rows.size > 1:
        held[generator.integers(rows.size)] = True
    return rows[~held], rows[held]
