"""Prediction with the perturbation model: all genes in file order, no cls token, no padding mask."""

from __future__ import annotations

import torch
from torch import Tensor

from sceval.models.scgpt.network import ScGPT

GENE_CHOICES = ("all", "batch-wise")


@torch.no_grad()
def predict_perturbed(
    model: ScGPT, gene_ids: Tensor, values: Tensor, pert_flags: Tensor, *, include_zero_genes: str = "all"
) -> Tensor:
    """Predict the expression after a perturbation.

    Parameters
    ----------
    model
        A network with perturbation flags.
    gene_ids
        Vocabulary id of each column (genes,); unknown genes carry the padding id and still take part.
    values
        Log-normalized expression of control cells, cells x genes.
    pert_flags
        1 at perturbed genes, else 0; cells x genes.
    include_zero_genes
        ``all``, or ``batch-wise``: only genes that are non-zero in at least one of the cells; the others are
        predicted as exactly 0.

    Returns
    -------
    Tensor
        Cells x genes.
    """
    if include_zero_genes not in GENE_CHOICES:
        raise ValueError(f"include_zero_genes is {include_zero_genes!r}; choose one of {', '.join(GENE_CHOICES)}")
    used = torch.arange(values.shape[1], device=values.device)
    if include_zero_genes == "batch-wise":
        used = torch.nonzero((values != 0).any(dim=0)).squeeze(1)
    ids = gene_ids[used].expand(values.shape[0], -1)
    predicted = model(ids, values[:, used], pert_flags=pert_flags[:, used]).expression
    result = torch.zeros_like(values)
    result[:, used] = predicted.to(result.dtype)
    return result
