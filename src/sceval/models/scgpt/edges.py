"""`infer-network`: edges from how alike gene vectors are, or from attention by the official recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from sceval.contract.results import Network
from sceval.models.geneformer.infer import WAYS, infer_network
from sceval.models.transformer.encode import CellProgress, each_batch

if TYPE_CHECKING:
    from sceval.contract import CellFile
    from sceval.models.scgpt.network import ScGPT
    from sceval.models.transformer.session import Session


def attention_ranks(network: ScGPT, batch: Mapping[str, Tensor]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Attention of the last layer between the genes of each cell, as ranks.

    The product of query and key (not scaled, no softmax) is ranked along each row, the ranks along each column, each
    divided by its length, and averaged over heads (official gene network tutorial). Equal values share their mean rank,
    so that no rank depends on the order of the genes.

    Returns
    -------
    For each cell: tokens of its genes, and ranks, query x key.
    """
    _, total = network.embed_inputs(batch["gene_ids"], batch["values"])
    padded = batch.get("pad_mask")
    keep = None if padded is None else ~padded[:, None, None, :]
    *below, last = network.transformer_encoder.layers
    for layer in below:
        total = layer(total, keep)
    q, k, _ = last.self_attn.project(total)
    out = []
    for i, ids in enumerate(batch["gene_ids"]):
        genes = torch.where(batch["values"][i] > 0)[0]
        genes = genes[genes > 0]  # not the cls position
        products = (q[i][:, genes].float() @ k[i][:, genes].float().transpose(-1, -2)).cpu().numpy()
        ranks = rankdata(rankdata(products, axis=2), axis=1) / len(genes)
        out.append((ids[genes].cpu().numpy(), ranks.mean(axis=0)))
    return out


def _attention(session: Session, rows: np.ndarray, tokens_of: np.ndarray) -> np.ndarray:
    """Scores, target (query) x source (key): mean ranks over the cells in which both genes stand."""
    network = session.loaded.network
    place_of = np.full(network.config.n_tokens, -1, np.int64)
    place_of[tokens_of] = np.arange(len(tokens_of))
    total, cells = np.zeros((len(tokens_of),) * 2), np.zeros((len(tokens_of),) * 2, np.int64)
    tokens = session.tokenize(rows)
    known = np.flatnonzero(tokens.usable)

    def use(chunk: np.ndarray, batch: dict[str, Tensor]) -> None:
        for ids, ranks in attention_ranks(network, batch):
            at = np.flatnonzero(place_of[ids] >= 0)
            grid = np.ix_(place_of[ids[at]], place_of[ids[at]])
            total[grid] += ranks[np.ix_(at, at)]
            cells[grid] += 1

    each_batch(tokens, known, session.place, session.settings, use, CellProgress("scgpt infer-network", len(known)))
    session.facts["cells_used"] = len(known)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(cells > 0, total / cells, np.nan)


def edges(session: Session, view: CellFile) -> Network:
    """Score edges between the genes of a view; settings and errors as in `geneformer.infer.infer_network`."""
    ways: dict[str, Any] = {**WAYS, "attention": _attention}
    return infer_network(session, view, ways)
