"""Mini-batches with what training needs beside the tokens, on the device."""

from __future__ import annotations

import numpy as np
import torch

from sceval.models.scgpt.choice import HashChooser
from sceval.models.scgpt.objectives import TensorBatch
from sceval.models.scgpt.tokens import CellTokenizer, TokenBatch, mask_values


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
