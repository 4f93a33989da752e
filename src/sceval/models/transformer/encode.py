"""Mini-batches on the device, and the pass over all cells, cells of similar length together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from sceval.training.batching import length_buckets
from sceval.training.device import autocast

if TYPE_CHECKING:
    from sceval.models.transformer.protocol import Tokens

#: Most positions in a mini-batch, for each cell of `batch_size`.
_POSITIONS = 1024

T = TypeVar("T")


def to_device(arrays: Mapping[str, np.ndarray], place: torch.device) -> dict[str, torch.Tensor]:
    """Move the arrays of a mini-batch; copies to a GPU run beside its work."""
    out = {}
    for name, array in arrays.items():
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        out[name] = tensor.pin_memory().to(place, non_blocking=True) if place.type == "cuda" else tensor
    return out


def ahead(make: Callable[[Any], T], items: Iterable[Any]) -> Iterator[tuple[Any, T]]:
    """Yield each item with what `make` makes of it, the next one being made while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[Any, Any] | None = None
        for item in items:
            following = (item, pool.submit(make, item))
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = following
        if waiting is not None:
            yield waiting[0], waiting[1].result()


@torch.no_grad()
def each_batch(
    tokens: Tokens,
    rows: np.ndarray,
    place: torch.device,
    settings: Mapping[str, Any],
    use: Callable[[np.ndarray, dict[str, torch.Tensor]], None],
    on_cells: Callable[[int], None] | None = None,
) -> None:
    """Call `use(rows of a mini-batch, its tensors)` for all given rows, without gradients.

    Mini-batches hold cells of similar length, at most `settings['batch_size']` of them and 1024 positions for each;
    where tokens have `groups`, those of one group only.

    Parameters
    ----------
    tokens, rows
        Usable cells.
    place, settings
        Device; `batch_size` and `mixed_precision` are read.
    use
        Gets rows and tensors.
    on_cells
        Called with the number of cells after each mini-batch.
    """
    rows = np.asarray(rows)
    groups = getattr(tokens, "groups", None)
    parts = length_buckets(
        tokens.lengths[rows],
        settings["batch_size"],
        max_tokens=settings["batch_size"] * _POSITIONS,
        codes=None if groups is None else groups[rows],
    )
    with autocast(place, settings.get("mixed_precision", True)):
        for chunk, arrays in ahead(tokens.batch, (rows[part] for part in parts)):
            use(chunk, to_device(arrays, place))
            if on_cells is not None:
                on_cells(len(chunk))


def vectors_of(
    compute: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    tokens: Tokens,
    rows: np.ndarray,
    place: torch.device,
    settings: Mapping[str, Any],
    on_cells: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return what `compute` gives for each of the rows, float32, rows x d; nothing depends on who shares a mini-batch.

    Parameters
    ----------
    compute
        A method of a network in evaluation mode: mini-batch -> cells x d.
    tokens, rows, place, settings, on_cells
        As in `each_batch`.
    """
    rows = np.asarray(rows)
    position = np.empty(len(tokens.lengths), np.int64)
    position[rows] = np.arange(rows.size)
    out: list[np.ndarray] = []

    def use(chunk: np.ndarray, batch: dict[str, torch.Tensor]) -> None:
        values = compute(batch).float().cpu().numpy()
        if not out:
            out.append(np.empty((rows.size, *values.shape[1:]), np.float32))
        out[0][position[chunk]] = values

    each_batch(tokens, rows, place, settings, use, on_cells)
    return out[0] if out else np.empty((0, 0), np.float32)


def unit_length(X: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, in float64 and NumPy, so that no row depends on its neighbors."""
    length = np.sqrt((X.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return (X / np.maximum(length, 1e-12)).astype(np.float32)


class CellProgress:
    """One line on standard error every second or so about a pass over cells.

    Parameters
    ----------
    label
        First words of each line.
    total
        Cells in all.
    write
        Takes a line; prints to standard error by default.
    every_s
        Least time between two lines; the last is always told.
    """

    def __init__(
        self, label: str, total: int, write: Callable[[str], None] | None = None, every_s: float = 2.0
    ) -> None:
        self.label, self.total, self.every_s = label, total, every_s
        self._write = write or _to_stderr
        self._start = time.monotonic()
        self._last, self._done = self._start, 0

    def __call__(self, cells: int) -> None:
        """Count cells, and tell where the pass stands unless a line was written just now."""
        if not cells:
            return
        self._done += cells
        now = time.monotonic()
        if now - self._last < self.every_s and self._done < self.total:
            return
        self._last = now
        rate = self._done / max(now - self._start, 1e-9)
        left = (self.total - self._done) / rate
        self._write(f"{self.label}: {self._done}/{self.total} cells, {rate:.0f} cells/s, {left:.0f} s left")


def _to_stderr(line: str) -> None:
    import sys

    print(line, file=sys.stderr, flush=True)
