"""`embed-cells`: one vector for each cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sceval.models.transformer.encode import CellProgress, unit_length, vectors_of
from sceval.models.transformer.session import Session

if TYPE_CHECKING:
    from sceval.models.transformer.protocol import Tokens

#: Cells that are tokenized at a time, so that memory does not grow with their number.
BLOCK = 16_384


def embed_cells(session: Session, tokenize: Callable[[np.ndarray], Tokens] | None = None) -> np.ndarray:
    """Embed all cells; a vector depends on its own cell, its id and the seed alone.

    Parameters
    ----------
    session
        Settings `batch_size` and `mixed_precision` are read; they change speed and memory, not the result.
    tokenize
        From rows to tokens, where a model's cells need more than their counts; `session.tokenize` by default.

    Returns
    -------
    float32, n x width, in the order of the view; NaN rows for cells without a known gene.
    """
    network = session.loaded.network
    n = len(session.cell_ids)
    X = np.full((n, network.config.width), np.nan, np.float32)
    usable = np.zeros(n, bool)
    progress = CellProgress(f"{session.model.info.name} embed-cells", n)
    told = len(session.warnings)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        tokens = (tokenize or session.tokenize)(rows)
        known = np.flatnonzero(tokens.usable)
        usable[rows[known]] = True
        if known.size:
            part = vectors_of(network.encode, tokens, known, session.place, session.settings, progress)
            X[rows[known]] = unit_length(part) if network.unit_length else part
        progress(len(rows) - known.size)
    session.warnings[told:] = dict.fromkeys(session.warnings[told:])
    session.tell_unusable(usable, "get no vector (a row of NaN)")
    session.tell_device()
    return X
