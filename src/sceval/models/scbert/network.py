"""scBERT: a Performer over all genes of a fixed order, their expression as tokens 0 to 5, and a trailing position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sceval.models.performer.language_model import Inputs, PerformerLM
from sceval.models.transformer.protocol import Batch

N_TOKENS = 7
#: Mask and padding share one id upstream; labels use it for "not asked".
MASK = 6


def mask_tokens(
    tokens: Tensor, ratio: float = 0.15, replaced: float = 0.9, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Hide expressed tokens as the official pre-training does.

    Of each cell's tokens that are not 0 a share is chosen, rounded up; most of the chosen are replaced.

    Parameters
    ----------
    tokens
        Cells x positions.
    ratio, replaced
        Share chosen, and share of these that is replaced by the mask token; 0 to 1.
    generator
        Source of the draws; torch's own where None.

    Returns
    -------
    masked, labels
        Input with mask tokens; the true token where chosen, else the mask id (ignored by the loss).
    """
    draw, again = (torch.rand(tokens.shape, generator=generator, device=tokens.device) for _ in range(2))
    expressed = tokens != 0
    wanted = (expressed.sum(1, keepdim=True) * ratio).ceil()
    rank = draw.masked_fill(~expressed, 2.0).argsort(1).argsort(1)
    chosen = expressed & (rank < wanted)
    return tokens.masked_fill(chosen & (again < replaced), MASK), tokens.masked_fill(~chosen, MASK)


def predict_tokens(logits: Tensor) -> Tensor:
    """Most likely token among 1 to 5, the official rule: neither "not expressed" nor the mask is ever predicted."""
    return logits[..., 1:MASK].argmax(-1) + 1


class ScBert(PerformerLM):
    """The network.

    A mini-batch has ``tokens`` (n x t) and, where not all genes are in the sequence, ``positions`` (n x t), the row of
    each position in the gene table. The last position is the trailing one, whose gene vector is 0 in official files.
    Cell vectors (``pool``): mean over ``all`` positions, over ``genes`` alone, or the ``last`` position.
    """

    pools = ("all", "genes", "last")

    @property
    def n_genes(self) -> int:
        """Genes of the table: all rows but the trailing one."""
        return self.config.n_positions - 1

    @property
    def n_slots(self) -> int:
        """One slot for each row of the gene table."""
        return self.config.n_positions

    def inputs(self, batch: Batch) -> Inputs:
        """Tokens, and positions in order where none are given."""
        tokens = batch["tokens"].long()
        positions = batch.get("positions")
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        return Inputs(tokens, positions)

    def pool(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Cell vectors."""
        if self.config.pool == "last":
            return hidden[:, -1]
        return (hidden if self.config.pool == "all" else hidden[:, :-1]).mean(1)

    def slots(self, inputs: Inputs) -> Tensor:
        """Row of the gene table."""
        return inputs.positions

    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden states and the gene of each position whose token is not 0."""
        inputs = self.inputs(batch)
        genes = inputs.positions.masked_fill((inputs.tokens == 0) | (inputs.positions >= self.n_genes), -1)
        return self.hidden(batch), genes

    def finetune_rule(self) -> Callable[[str], bool]:
        """The official rule: the final norm and the last block but one (the only one of a single block)."""
        return self._finetunes(max(self.config.performer.depth - 2, 0))

    def pretraining_loss(
        self, batch: Batch, *, mask_ratio: float = 0.15, generator: torch.Generator | None = None, **_: Any
    ) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of hidden tokens (:func:`mask_tokens`), the official objective."""
        masked, labels = mask_tokens(batch["tokens"].long(), mask_ratio, generator=generator)
        loss = token_loss(self.token_logits(self.hidden({**batch, "tokens": masked})), labels)
        return loss, {"masked_token": float(loss.detach())}


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over labelled positions; 0 where there is none."""
    total = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=MASK, reduction="sum")
    return total / (labels != MASK).sum().clamp(min=1)
