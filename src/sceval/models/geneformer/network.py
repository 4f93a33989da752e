"""Geneformer: a BERT encoder over the genes of a cell in descending order of their rank value.

Sources: Theodoris et al. 2023 (V1), Chen et al. 2024 (V2), Devlin et al. 2019 (BERT). Batches are dictionaries with
`input_ids` (n, L) int64 and, where anything is padded, `attention_mask` (n, L) bool, True at tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sceval.models.geneformer.blocks import Block, CellHead, Embeddings, GeneHead, MaskedHead, initialize
from sceval.models.geneformer.config import GeneformerConfig
from sceval.models.geneformer.masking import IGNORED, mask_batch
from sceval.models.transformer.network import TransformerNetwork

Batch = Mapping[str, Tensor]


class Network(TransformerNetwork):
    """The encoder with its masked-token head."""

    config: GeneformerConfig

    def __init__(self, config: GeneformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.masked_head = MaskedHead(config)
        initialize(self, config.initializer_range)

    @staticmethod
    def _mask(batch: Batch) -> Tensor | None:
        """Mask of keys; None where no cell is padded, which lets attention run faster."""
        mask = batch.get("attention_mask")
        return None if mask is None else mask.bool()[:, None, None, :]

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """All L + 1 hidden states, embeddings first, each (n, L, width); values at padding mean nothing."""
        mask = self._mask(batch)
        states = [self.embeddings(batch["input_ids"])]
        for layer in self.layers:
            states.append(layer(states[-1], mask))
        return states

    def attention(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the attention probabilities of each layer, (n, heads, queries, keys)."""
        mask = self._mask(batch)
        x = self.embeddings(batch["input_ids"])
        for number, layer in enumerate(self.layers, start=1):
            yield layer.probabilities(x, mask)
            if number < len(self.layers):
                x = layer(x, mask)

    def _run(self, batch: Batch, emb_layer: int, *, first_only: bool = False) -> Tensor:
        """Hidden state at a layer; `first_only` computes position 0 alone in the last layer that is run."""
        mask, x = self._mask(batch), self.embeddings(batch["input_ids"])
        used = self.layers[: len(self.layers) + emb_layer]
        for number, layer in enumerate(used, start=1):
            x = layer(x, mask, n_queries=1 if first_only and number == len(used) else None)
        return x

    def gene_ids(self, batch: Batch) -> Tensor:
        """Token id at positions of genes, -1 at padding, cls and eos; (n, L)."""
        ids = batch["input_ids"]
        gene = torch.ones_like(ids, dtype=torch.bool)
        if batch.get("attention_mask") is not None:
            gene = batch["attention_mask"].bool()
        for special in self.config.specials:
            gene = gene & (ids != special)
        return ids.masked_fill(~gene, -1)

    def encode(self, batch: Batch) -> Tensor:
        """Cell vectors (n, width) by the pooling and the layer of the config."""
        if self.config.pooled == "cls":
            return self._run(batch, self.config.emb_layer, first_only=True)[:, 0]
        x, ids = self.contextual(batch)
        return mean_of(x, ids >= 0)

    def contextual(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Hidden states (n, L, width) at the layer of the config, and the token id of the gene at each position."""
        return self._run(batch, self.config.emb_layer), self.gene_ids(batch)

    def gene_table(self) -> Tensor:
        """Static vectors of all tokens, (n_tokens, width)."""
        return self.embeddings.word.weight

    def features(self, batch: Batch) -> Tensor:
        """Last hidden state at position 0 (cls in V2, the top-ranked gene in V1), (n, width)."""
        return self._run(batch, 0, first_only=True)[:, 0]

    def new_head(self, n_classes: int, settings: Mapping[str, Any] | None = None) -> nn.Module:
        """Return a new official cell classifier: pooler, dropout, linear; it takes `features`."""
        return CellHead(self.config, n_classes)

    def new_gene_head(self, n_classes: int, settings: Mapping[str, Any] | None = None) -> nn.Module:
        """Return a new official gene classifier: dropout and linear on contextual vectors."""
        return GeneHead(self.config, n_classes)

    def input_modules(self) -> list[nn.Module]:
        """Token, position and type tables with their norm."""
        return [self.embeddings]

    def finetune_rule(self) -> Callable[[str], bool]:
        """Which parameters the official fine-tuning trains: all but the masked-token head, which it does not have."""
        return lambda name: "masked_head." not in name

    def attention_projections(self) -> list[str]:
        """Query, key, value and output weights of every layer."""
        parts = ("query", "key", "value", "out")
        return [f"layers.{i}.{part}.weight" for i in range(len(self.layers)) for part in parts]

    def masked_logits(self, batch: Batch, chosen: Tensor | None = None) -> Tensor:
        """Token scores at chosen positions (bool (n, L); all by default), row by row."""
        x = self._run(batch, 0)
        return self.masked_head(x if chosen is None else x[chosen], self.gene_table())

    def pretraining_loss(self, batch: Batch, **options: Any) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of hidden tokens, computed at the labelled positions alone.

        Parameters
        ----------
        batch
            With `labels` (n, L), `IGNORED` where nothing is asked (`RankTokens.masked_batch`); without them the
            batch is masked here.
        **options
            Passed to :func:`sceval.models.geneformer.masking.mask_batch`: `ratio`, `generator`.

        Returns
        -------
        The loss, and the terms `mlm` (the loss) and `accuracy`. A batch without any label has loss 0.
        """
        if "labels" not in batch:
            batch = mask_batch(batch, self.gene_ids(batch), self.config, **options)
        asked = batch["labels"] != IGNORED
        labels = batch["labels"][asked].long()
        scores = self.masked_logits(batch, asked).float()
        if not len(labels):
            return scores.sum(), {"mlm": 0.0, "accuracy": 0.0}
        loss = F.cross_entropy(scores, labels)
        accuracy = (scores.detach().argmax(-1) == labels).float().mean()
        return loss, {"mlm": float(loss.detach()), "accuracy": float(accuracy)}


def mean_of(x: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen positions (bool (n, L)) of hidden states (n, L, width)."""
    weight = chosen.to(x.dtype)
    return (x * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
