"""`embed-genes`: one vector for each gene, from the network's table or from the cells in which it occurs."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import GeneEmbedding
from sceval.models.request import NotApplicable
from sceval.models.transformer.embed import BLOCK
from sceval.models.transformer.encode import CellProgress, each_batch
from sceval.models.transformer.session import Session


def embed_genes(session: Session) -> GeneEmbedding:
    """Embed the genes of the view.

    `gene_vectors = static` gives the rows of the network's gene table. `contextual` gives the mean hidden state of the
    gene over all cells in which it has a place (expressed, and not cut off in an over-long cell). Genes that the model
    does not know, or that occur in no cell, are rows of NaN.

    Raises
    ------
    NotApplicable
        The network has no vectors of this kind.
    """
    network, ids = session.loaded.network, session.token_ids
    X = np.full((ids.size, network.config.width), np.nan, np.float32)
    if session.settings["gene_vectors"] == "static":
        X = _static(session, X, ids)
    else:
        X = _contextual(session, X, ids)
    missing = int(np.isnan(X).any(axis=1).sum())
    session.facts["genes_without_vector"] = missing
    if missing:
        session.warnings.append(
            f"{missing} of {ids.size} genes have no vector (a row of NaN): unknown to the model, or in no cell"
        )
    session.tell_device()
    return GeneEmbedding(np.asarray(session.gene_ids, object), X)


def _static(session: Session, X: np.ndarray, ids: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        table = session.loaded.network.gene_table()
    if table is None:
        raise NotApplicable(f"{session.model.info.title} has no table of gene vectors; contextual ones can be had")
    values = table.detach().float().cpu().numpy()
    out = np.full((ids.size, values.shape[1]), np.nan, np.float32)
    out[ids >= 0] = values[ids[ids >= 0]]
    return out


def _contextual(session: Session, X: np.ndarray, ids: np.ndarray) -> np.ndarray:
    import torch

    network, place = session.loaded.network, session.place
    used = np.unique(ids[ids >= 0])
    # Place of each token among those of this dataset; the last row of the sums takes all else.
    slot = torch.full((int(used.max()) + 2,), used.size, dtype=torch.int64, device=place)
    slot[torch.from_numpy(used).to(place)] = torch.arange(used.size, device=place)
    sums: list[torch.Tensor] = []
    counts = torch.zeros(used.size + 1, dtype=torch.float64, device=place)

    def use(rows: np.ndarray, batch: dict[str, torch.Tensor]) -> None:
        hidden, tokens = network.contextual(batch)
        if not sums:
            sums.append(torch.zeros(used.size + 1, hidden.shape[-1], dtype=torch.float64, device=place))
        there = tokens >= 0
        at = slot[tokens[there].clamp(max=slot.numel() - 1)]
        sums[0].index_add_(0, at, hidden[there].double())
        counts.index_add_(0, at, torch.ones(at.numel(), dtype=torch.float64, device=place))

    n = len(session.cell_ids)
    progress = CellProgress(f"{session.model.info.name} embed-genes", n)
    told = len(session.warnings)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        tokens = session.tokenize(rows)
        known = np.flatnonzero(tokens.usable)
        each_batch(tokens, known, place, session.settings, use, progress)
        progress(len(rows) - known.size)
    session.warnings[told:] = dict.fromkeys(session.warnings[told:])
    if not sums:
        return X
    means = (sums[0] / counts[:, None])[:-1].cpu().numpy().astype(np.float32)  # 0 / 0 is NaN: in no cell
    out = np.full((ids.size, means.shape[1]), np.nan, np.float32)
    out[ids >= 0] = means[np.searchsorted(used, ids[ids >= 0])]
    return out
