"""What the decoder is asked for: gene vectors over cells, expected counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from sceval.models.scfoundation.network import ScFoundation
from sceval.models.scfoundation.tokens import SCALE, Tokens
from sceval.models.transformer.encode import to_device
from sceval.training.device import autocast
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms


def drawn_cells(tokens: Tokens, cell_ids: list[str], n: int, seed: int) -> np.ndarray:
    """Rows of at most ``n`` usable cells (0 = all), drawn by cell id and seed whatever the order of the file."""
    rows = np.flatnonzero(tokens.usable)
    keys = hash_ids([cell_ids[row] for row in rows])
    order = np.argsort(hashed_uniforms(keys, np.zeros(rows.size, int), derive_seed(seed, "cells")), kind="stable")
    return rows[order][: n or None]


def _chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, rows.size, size))


@torch.no_grad()
def mean_gene_vectors(
    network: ScFoundation,
    tokens: Tokens,
    rows: np.ndarray,
    genes: np.ndarray,
    place: torch.device,
    *,
    cells_at_once: int = 1,
    stabilizer: str = "cell",
    mixed_precision: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Mean over cells of the decoder's vectors of some genes (float32, genes x decoder width).

    Cells are summed as they come, so that no cells x genes x width array is ever held.

    Parameters
    ----------
    network, tokens, place
        Network on the device, cells, device.
    rows
        Cells to average over, at least one.
    genes
        Positions in the gene list.
    cells_at_once
        Cells in a mini-batch of the decoder.
    stabilizer
        As in :meth:`ScFoundation.decode`: with ``batch`` a result depends on the other cells of the mini-batch.
    mixed_precision
        bfloat16 on CUDA.
    on_progress
        Called with the cells done and their number.
    """
    network.eval()
    chosen = torch.from_numpy(np.asarray(genes)).to(place)
    total = torch.zeros(chosen.numel(), network.config.decoder_width, dtype=torch.float64, device=place)
    done = 0
    for part in _chunks(np.asarray(rows), cells_at_once):
        with autocast(place, mixed_precision):
            total += (
                network.gene_vectors(to_device(tokens.batch(part), place), stabilizer)[:, chosen].double().sum(dim=0)
            )
        done += part.size
        if on_progress is not None:
            on_progress(done, len(rows))
    return (total / max(len(rows), 1)).float().cpu().numpy()


@torch.no_grad()
def expected_counts(
    network: ScFoundation,
    tokens: Tokens,
    rows: np.ndarray,
    genes: np.ndarray,
    place: torch.device,
    *,
    cells_at_once: int = 1,
    stabilizer: str = "cell",
    mixed_precision: bool = True,
    match_depth: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Predicted counts of some genes at the depth that each cell has (float32, rows x genes, 0 and more).

    The network predicts log1p of counts per 10,000; a negative prediction counts as 0.

    Parameters
    ----------
    network, tokens, rows, genes, place, cells_at_once, stabilizer, mixed_precision, on_progress
        As in :func:`mean_gene_vectors`; ``rows`` are usable cells.
    match_depth
        Scale each cell's predictions so that they sum to what the cell has of these genes; else multiply by the
        cell's total / 10,000 alone.
    """
    network.eval()
    chosen = torch.from_numpy(np.asarray(genes)).to(place)
    out = np.empty((len(rows), len(genes)), dtype=np.float32)
    done = 0
    for part in _chunks(np.asarray(rows), cells_at_once):
        with autocast(place, mixed_precision):
            logs = network.expression(to_device(tokens.batch(part), place), stabilizer)[:, chosen]
        amounts = np.expm1(np.maximum(logs.double().cpu().numpy(), 0.0))
        factor = tokens.totals[part] / SCALE
        if match_depth:
            # Every column is a listed gene of the view, so a cell's total is its total of the genes asked for.
            sums = amounts.sum(axis=1)
            factor = np.divide(tokens.totals[part], sums, out=np.zeros_like(sums), where=sums > 0)
        out[done : done + part.size] = amounts * factor[:, None]
        done += part.size
        if on_progress is not None:
            on_progress(done, len(rows))
    return out
