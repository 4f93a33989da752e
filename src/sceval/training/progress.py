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
