"""CellLM: a Performer over the expressed genes of a cell, a cls position in front, padded to a fixed length.

Padding is not neutral in the official code: the values of pads are zeroed, their keys count. All pads of a cell stay
equal to each other from block to block, so one pad with a weight gives exactly what thousands do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sceval.models.performer.language_model import Inputs, PerformerLM
from sceval.models.transformer.protocol import Batch

N_TOKENS = 8
CLS, PAD = 6, 7
IGNORE = -100


class CellLM(PerformerLM):
    """The network.

    A mini-batch has ``tokens`` and ``genes`` (n x t): cls first, expressed genes in list order, pads; cls and pad have
    the two last rows of the gene table. The full sequence has ``config.max_length`` positions, of which a mini-batch
    need hold one pad a cell at the least.
    Cell vectors (``pool``): the ``cls`` position, or the mean over ``genes`` or ``all`` (genes and cls).
    """

    pools = ("cls", "genes", "all")

    @property
    def n_genes(self) -> int:
        """Genes of the table: all rows but those of cls and pad."""
        return self.config.n_positions - 2

    @property
    def n_slots(self) -> int:
        """One slot for each gene, and the last for cls."""
        return self.config.n_positions - 1

    def inputs(self, batch: Batch) -> Inputs:
        """Tokens and genes; the first pad of a cell counts for all of the full sequence.

        Raises
        ------
        ValueError
            A mini-batch longer than the full sequence, or a cell whose pads were cut off.
        """
        tokens, genes = batch["tokens"].long(), batch["genes"].long()
        real = genes != self.n_genes + 1
        used = real.sum(1)
        held = tokens.shape[1]
        if held > self.config.max_length:
            raise ValueError(f"sequences of {held} positions; this network has {self.config.max_length}")
        if held < self.config.max_length and bool((used == held).any()):
            raise ValueError(
                f"a cell of {held} positions without a pad; the full sequence has {self.config.max_length}"
            )
        first_pad = torch.arange(held, device=tokens.device) == used[:, None]
        weight = real + first_pad * (self.config.max_length - used)[:, None]
        return Inputs(tokens, genes, real, weight)

    def pool(self, hidden: Tensor, inputs: Inputs) -> Tensor:
        """Cell vectors; NaN for the mean over the genes of a cell that has none."""
        if self.config.pool == "cls":
            return hidden[:, 0]
        start = 1 if self.config.pool == "genes" else 0  # pads are zero by now
        return hidden[:, start:].sum(1) / (inputs.real.sum(1, keepdim=True) - start)

    def slots(self, inputs: Inputs) -> Tensor:
        """Gene of each position; none for pads."""
        return inputs.positions.masked_fill(~inputs.real, -1)

    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden states and the gene of each position."""
        genes = self.inputs(batch).positions
        return self.hidden(batch), genes.masked_fill(genes >= self.n_genes, -1)

    def finetune_rule(self) -> Callable[[str], bool]:
        """The official rule: the final norm and the last block."""
        return self._finetunes(self.config.performer.depth - 1)

    def pretraining_loss(
        self,
        batch: Batch,
        *,
        mask_ratio: float = 0.15,
        contrastive_weight: float = 1.0,
        temperature: float = 0.05,
        generator: torch.Generator | None = None,
        **_: Any,
    ) -> tuple[Tensor, dict[str, float]]:
        """Masked tokens, and two views of a cell (two masks, two dropout draws) told from the other cells.

        The official code has no pre-training; the paper describes both parts. The id that hid a token is not known:
        here it is that of the pad token, at a position that keeps its gene.
        """
        tokens, genes = batch["tokens"].long(), batch["genes"].long()
        masked, views = [], []
        for _view in range(2):
            draw = torch.rand(tokens.shape, generator=generator, device=tokens.device)
            chosen = (genes < self.n_genes) & (draw < mask_ratio)
            hidden = self.hidden({"tokens": tokens.masked_fill(chosen, PAD), "genes": genes})
            logits = self.token_logits(hidden[chosen]).float()
            masked.append(F.cross_entropy(logits, tokens[chosen]) if len(logits) else hidden.sum() * 0.0)
            views.append(hidden[:, 0].float())
        token_part, cell_part = sum(masked) / 2, contrastive_loss(views[0], views[1], temperature)
        loss = token_part + contrastive_weight * cell_part
        return loss, {"masked_token": float(token_part.detach()), "contrastive": float(cell_part.detach())}


def contrastive_loss(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each cell's other view among all cells, both ways (InfoNCE; Gao et al. 2021, SimCSE)."""
    scores = F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T / temperature
    target = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def class_weights(codes: Tensor, n_classes: int) -> Tensor:
    """Weights of the official classification loss: (1 - share of the class among the training cells) squared."""
    share = torch.bincount(codes, minlength=n_classes) / max(len(codes), 1)
    return (1 - share).square()
