"""Sums of losses, as the official recipes weigh them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sceval.models.scgpt import losses
from sceval.models.scgpt.network import ScGPT, ScGPTOutput

#: Term -> what it needs from the forward pass.
TERMS = ("gep", "gep_nzlp", "gepc", "gepc_nzlp", "ecs", "dab", "cls", "mse", "cce")


@dataclass
class TensorBatch:
    """A mini-batch on the device; ``pad_mask`` is None where nothing is padded, ``mask`` True at hidden values."""

    gene_ids: Tensor
    values: Tensor
    pad_mask: Tensor | None = None
    target: Tensor | None = None
    mask: Tensor | None = None
    batch_labels: Tensor | None = None
    classes: Tensor | None = None
    pert_flags: Tensor | None = None


def forward_for(model: ScGPT, batch: TensorBatch, weights: Mapping[str, float]) -> ScGPTOutput:
    """Run the heads that the weighted terms need, and no other."""
    unknown = set(weights) - set(TERMS)
    if unknown:
        raise ValueError(f"unknown loss terms {sorted(unknown)}; choose from {', '.join(TERMS)}")
    output = model(
        batch.gene_ids,
        batch.values,
        batch.pad_mask,
        batch.batch_labels,
        pert_flags=batch.pert_flags,
        expression=bool({"gep", "gep_nzlp", "mse"} & set(weights)),
        mvc=bool({"gepc", "gepc_nzlp"} & set(weights)),
        classes="cls" in weights,
        batches="dab" in weights,
        at=None if "mse" in weights else batch.mask,
    )
    if "cce" in weights:
        output.second = model.encode_cells(batch.gene_ids, batch.values, batch.pad_mask, batch.batch_labels)
    return output


def loss_terms(
    output: ScGPTOutput, batch: TensorBatch, terms: Mapping[str, float], *, ecs_threshold: float = 0.8
) -> dict[str, Tensor]:
    """Each asked-for term, unweighted, computed in at least float32.

    ``gep``/``gepc``: masked MSE of decoder/MVC (cross-entropy where they give logits of bins); ``*_nzlp``: Bernoulli
    likelihood of being expressed at hidden positions; ``ecs``: elastic cell similarity; ``dab``: adversarial batch
    classes; ``cls``: classes of the cells that have one; ``mse``: plain MSE over all positions (perturbation); ``cce``:
    contrast with a second pass.
    """

    def full(x: Tensor) -> Tensor:
        return x if x.dtype == torch.float64 else x.float()

    # Predictions are there at hidden positions only, in row order (see ScGPT.forward, `at`).
    hidden = None if batch.target is None or batch.mask is None else batch.target[batch.mask]
    makers = {
        "gep": lambda: losses.reconstruction(full(output.expression), hidden),
        "gep_nzlp": lambda: losses.bernoulli_nll(full(output.zero_prob), hidden).mean(),
        "gepc": lambda: losses.reconstruction(full(output.mvc), hidden),
        "gepc_nzlp": lambda: losses.bernoulli_nll(full(output.mvc_zero_prob), hidden).mean(),
        "ecs": lambda: losses.elastic_cell_similarity(full(output.cell), ecs_threshold),
        "dab": lambda: F.cross_entropy(full(output.batches), batch.batch_labels),
        "cls": lambda: losses.labelled_cross_entropy(full(output.classes), batch.classes),
        "mse": lambda: F.mse_loss(full(output.expression), batch.target),
        "cce": lambda: losses.contrastive_cells(full(output.cell), full(output.second)),
    }
    return {term: makers[term]() for term in terms}


def weighted_loss(
    model: ScGPT, batch: TensorBatch, weights: Mapping[str, float], *, ecs_threshold: float = 0.8
) -> tuple[Tensor, dict[str, float]]:
    """Forward pass and weighted sum; also the unweighted terms as numbers."""
    terms = loss_terms(forward_for(model, batch, weights), batch, weights, ecs_threshold=ecs_threshold)
    total = sum(weights[name] * value for name, value in terms.items())
    return total, {name: float(value.detach()) for name, value in terms.items()}
