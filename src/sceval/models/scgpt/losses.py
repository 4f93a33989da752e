"""Training losses of scGPT (Cui et al. 2024, Methods)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the hidden positions (GEP; GEPC with the MVC prediction)."""
    weight = mask.to(prediction.dtype)
    return ((prediction - target) ** 2 * weight).sum() / weight.sum()


def masked_relative_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of |error| / (target + 1e-6) over the hidden positions (reported, never optimized)."""
    weight = mask.to(prediction.dtype)
    return ((prediction - target).abs() / (target + 1e-6) * weight).sum() / weight.sum()


def reconstruction(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of values, or, where predictions have one more dimension (logits of bins), cross-entropy.

    Targets are bins from 0 on; the padding value that a hidden cls token may carry counts as bin 0.
    """
    if not target.numel():
        return prediction.sum() * 0.0  # nothing is hidden
    if prediction.dim() == target.dim():
        return F.mse_loss(prediction, target)
    bins = target.long().clamp(0, prediction.shape[-1] - 1)
    return F.cross_entropy(prediction.flatten(0, -2), bins.flatten())


def labelled_cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean cross-entropy of the cells that have a class (0 and more); 0 where none has."""
    known = classes >= 0
    return F.cross_entropy(logits[known], classes[known]) if bool(known.any()) else logits.sum() * 0.0


def bernoulli_nll(probability: Tensor, target: Tensor) -> Tensor:
    """Negative log-likelihood of "target > 0", element by element.

    Probabilities are clamped by the epsilon of their type, so a float32 element costs at most 15.94.
    """
    eps = torch.finfo(probability.dtype).eps
    p = probability.clamp(eps, 1 - eps)
    return torch.where(target > 0, -torch.log(p), -torch.log1p(-p))


def masked_bernoulli_nll(probability: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of :func:`bernoulli_nll` over the hidden positions."""
    weight = mask.to(probability.dtype)
    return (bernoulli_nll(probability, target) * weight).sum() / weight.sum()


def elastic_cell_similarity(cells: Tensor, threshold: float) -> Tensor:
    """ECS: mean over all pairs of 1 - (relu(cosine) - threshold)^2, the diagonal counted as cosine 0."""
    unit = F.normalize(cells, dim=1)
    cosine = unit @ unit.T
    cosine = F.relu(cosine.masked_fill(torch.eye(cells.shape[0], dtype=torch.bool, device=cells.device), 0.0))
    return (1 - (cosine - threshold) ** 2).mean()


def contrastive_cells(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """CCE: each cell must find itself in a second pass (other dropout) among the cells of the mini-batch."""
    logits = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(first.shape[0], device=first.device))
