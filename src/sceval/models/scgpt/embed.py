"""Zero-shot cell embedding: the vector at the cls position, scaled to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from sceval.models.scgpt.feeding import encode_all
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.prepare import Notes, zero_shot_tokens
from sceval.models.scgpt.recipe import resolve
from sceval.models.scgpt.vocabulary import Vocabulary
from sceval.training.device import choose_device


@dataclass(frozen=True)
class CellEmbedding:
    """Cell vectors (float32, cells x d; NaN rows where there is no known gene) and what was found on the way."""

    X: np.ndarray
    notes: Notes


def embed_cells(
    model: ScGPT,
    vocabulary: Vocabulary,
    counts: sp.csr_matrix,
    symbols: Sequence[str],
    cell_ids: Sequence[str],
    *,
    params: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_codes: np.ndarray | None = None,
) -> CellEmbedding:
    """Embed cells with a pre-trained network.

    A cell's vector depends on its own counts, its id (only where it is cut to ``max_length`` or bins are drawn) and
    the seed: not on batch size, order or other cells of the file.

    Parameters
    ----------
    model, vocabulary
        From :func:`sceval.models.scgpt.checkpoint.load_checkpoint`.
    counts
        Cells x genes (CSR), raw counts or any strictly increasing transform of them per cell.
    symbols, cell_ids
        Gene symbols of the columns, ids of the rows.
    params
        Values of :data:`sceval.models.scgpt.recipe.PARAMS`.
    seed
        Seed of subsets and drawn bins.
    device
        ``auto``, ``cpu`` or ``cuda``.
    batch_codes
        Branch of each cell, for networks with per-batch normalization.

    Raises
    ------
    NoKnownGenes
        No gene is in the vocabulary.
    ValueError
        The network has per-batch normalization and no batch was given, or one that it does not know.
    """
    place = choose_device(device)
    settings = resolve("embed-cells", "zero_shot", params or {}, place.type)
    domains = model.config.n_domains
    if domains and (batch_codes is None or not np.isin(batch_codes, np.arange(domains)).all()):
        raise ValueError(
            f"this checkpoint normalizes each of its {domains} training batches apart (DSBN); cells of other batches, "
            "or without a batch, have no statistics to be normalized with"
        )
    notes = Notes()
    tokens = zero_shot_tokens(counts, list(symbols), list(cell_ids), vocabulary, settings, seed, notes)
    notes.facts |= {"device": place.type, "params_used": settings}
    X = encode_all(
        model.to(place),
        tokens,
        place,
        batch_size=settings["batch_size"],
        batch_codes=batch_codes,
        mixed_precision=settings["mixed_precision"],
    )
    return CellEmbedding(X, notes)
