"""Mini-batches on the device, and the pass over all cells that gives their vectors."""

from __future__ import annotations

import numpy as np
import torch

from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.network import ScGPT
from sceval.models.scgpt.objectives import TensorBatch
from sceval.models.scgpt.tokens import CellTokenizer, TokenBatch, mask_values
from sceval.training.batching import length_buckets
from sceval.training.device import autocast


def _move(array: np.ndarray, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def to_tensors(
    batch: TokenBatch,
    device: torch.device,
    *,
    batch_labels: np.ndarray | None = None,
    classes: np.ndarray | None = None,
) -> TensorBatch:
    """Move a mini-batch; the padding mask goes along only where something is padded."""
    return TensorBatch(
        gene_ids=_move(batch.gene_ids, device),
        values=_move(batch.values, device),
        pad_mask=_move(batch.pad_mask, device) if batch.has_padding else None,
        batch_labels=None if batch_labels is None else _move(batch_labels.astype(np.int64), device),
        classes=None if classes is None else _move(classes.astype(np.int64), device),
    )


def masked_tensors(
    tokens: CellTokenizer,
    rows: np.ndarray,
    chooser: HashChooser,
    ratio: float,
    device: torch.device,
    batch_labels: np.ndarray | None = None,
) -> TensorBatch:
    """A mini-batch with hidden values, its targets and the mask."""
    batch = tokens.batch(rows)
    values, mask = mask_values(batch, rows, chooser, ratio)
    out = to_tensors(batch, device, batch_labels=batch_labels)
    out.target, out.values, out.mask = out.values, _move(values, device), _move(mask, device)
    return out


@torch.no_grad()
def encode_all(
    model: ScGPT,
    tokens: CellTokenizer,
    device: torch.device,
    *,
    batch_size: int,
    batch_codes: np.ndarray | None = None,
    mixed_precision: bool = True,
    normalize: bool = True,
) -> np.ndarray:
    """Vectors of all cells.

    Parameters
    ----------
    model
        On the device; it is put into evaluation mode.
    tokens
        Unmasked tokens.
    batch_size
        Most cells in a mini-batch; it changes speed and memory, not the result.
    batch_codes
        Batch of each cell; needed where the network has batch normalization per batch.
    normalize
        Scale each vector to length 1.

    Returns
    -------
    numpy.ndarray
        float32, cells x d_model; NaN for cells that express no gene of the model.
    """
    model.eval()
    result = np.full((tokens.expressed.size, model.config.d_model), np.nan, dtype=np.float32)
    rows = np.flatnonzero(tokens.expressed > 0)
    codes = batch_codes if model.config.n_domains else None
    limit = batch_size * 1024
    lengths = tokens.lengths[rows]
    own = None if codes is None else np.asarray(codes)[rows]
    for part in length_buckets(lengths, batch_size, max_tokens=limit, codes=own):
        chunk = rows[part]
        labels = None if codes is None else np.asarray(codes)[chunk]
        batch = to_tensors(tokens.batch(chunk), device, batch_labels=labels)
        with autocast(device, mixed_precision):
            cells = model.encode_cells(batch.gene_ids, batch.values, batch.pad_mask, batch.batch_labels)
        result[chunk] = cells.float().cpu().numpy()
    if normalize:
        # In NumPy and float64: one row at a time, so that no vector depends on its neighbors.
        length = np.sqrt((result.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
        result = (result / np.maximum(length, 1e-12)).astype(np.float32)
    return result
