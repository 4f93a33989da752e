"""One line per second or so about a long step, for people who watch."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from sceval.training.loop import Progress


class ProgressLines:
    """Writes where a training run stands: rate, remaining time, loss.

    Parameters
    ----------
    label
        First word of each line.
    stream
        Where to write; standard error by default.
    every_s
        Least time between two lines; the last step of the last epoch is always told.
    """

    def __init__(self, label: str, stream: TextIO | None = None, every_s: float = 2.0) -> None:
        self.label = label
        self.stream = sys.stderr if stream is None else stream
        self.every_s = every_s
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        """Tell the progress, unless a line was written just now."""
        now = time.monotonic()
        final = progress.epoch == progress.epochs and progress.done == progress.total
        if now - self._last < self.every_s and not final:
            return
        self._last = now
        print(
            f"{self.label}: epoch {progress.epoch}/{progress.epochs}, {progress.done}/{progress.total} cells, "
            f"{progress.rate:.0f} cells/s, {progress.remaining_s:.0f} s left, loss {progress.loss:.4g}",
            file=self.stream,
            flush=True,
        )


class CountLines:
    """Writes how many of a known number of things are done; arguments as those of :class:`ProgressLines`."""

    def __init__(self, label: str, stream: TextIO | None = None, every_s: float = 2.0, things: str = "cells") -> None:
        self.label = label
        self.things = things
        self.stream = sys.stderr if stream is None else stream
        self.every_s = every_s
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Tell the count, unless a line was written just now; the last one is always told."""
        now = time.monotonic()
        if now - self._last < self.every_s and done < total:
            return
        self._last = now
        rate = done / max(now - self._start, 1e-9)
        print(
            f"{self.label}: {done}/{total} {self.things}, {(total - done) / max(rate, 1e-9):.0f} s left",
            file=self.stream,
            flush=True,
        )
