"""Hidden tokens of masked-token training: 15 % of the genes; of these 80 % <mask>, 10 % another gene, 10 % unchanged.

Source: Devlin et al. 2019, section 3.1; Theodoris et al. 2023 (masked learning objective).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from sceval.models.geneformer.config import GeneformerConfig

IGNORED = -100
"""Label of positions that the loss leaves out."""
RATIO, MASKED, REPLACED = 0.15, 0.8, 0.1


def hide(
    ids: np.ndarray, draws: np.ndarray, mask_id: int, genes: np.ndarray, ratio: float = RATIO
) -> tuple[np.ndarray, np.ndarray]:
    """Hide genes by given draws.

    Parameters
    ----------
    ids
        Token ids of genes, any shape.
    draws
        Uniform in [0, 1), shape (3, *ids.shape): whether a gene is hidden, how, and by which other gene.
    mask_id
        Id of <mask>.
    genes
        Ids from which a replacement is drawn.
    ratio
        Share to hide, 0 to 1.

    Returns
    -------
    ids, labels
        Ids with hidden genes replaced, and the true id where hidden, `IGNORED` elsewhere.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"mask ratio must lie in [0, 1], got {ratio}")
    hidden = draws[0] < ratio
    other = genes[np.minimum((draws[2] * len(genes)).astype(np.int64), len(genes) - 1)]
    shown = np.where(draws[1] < MASKED, mask_id, np.where(draws[1] < MASKED + REPLACED, other, ids))
    return np.where(hidden, shown, ids), np.where(hidden, ids, IGNORED)


def mask_batch(
    batch: dict[str, torch.Tensor],
    gene_ids: torch.Tensor,
    config: GeneformerConfig,
    *,
    ratio: float = RATIO,
    generator: torch.Generator | None = None,
) -> dict[str, torch.Tensor]:
    """Return a batch with hidden genes and their `labels`; draws come from torch's generator.

    Parameters
    ----------
    batch
        With `input_ids`.
    gene_ids
        Token id at positions of genes, -1 elsewhere (`Network.gene_ids`).
    config
        Supplies the ids of the specials; every id above them is a gene.
    ratio, generator
        Share to hide; a CPU generator, or None for the global one.
    """
    import torch

    draws = torch.rand((3, *gene_ids.shape), generator=generator, dtype=torch.float64).numpy()
    own = gene_ids.cpu().numpy()
    first = 1 + max(config.pad_id, config.mask_id, *config.specials)
    ids, labels = hide(own, draws, config.mask_id, np.arange(first, config.n_tokens), ratio)
    gene = own >= 0
    place = batch["input_ids"].device
    shown = np.where(gene, ids, batch["input_ids"].cpu().numpy())
    return {
        **batch,
        "input_ids": torch.from_numpy(shown).to(place),
        "labels": torch.from_numpy(np.where(gene, labels, IGNORED)).to(place),
    }
