"""`infer-network`: edges between genes from attention, or from how alike their vectors are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.contract.results import Network as GeneNetwork
from sceval.models.geneformer.extract import MeanAttention, TokenMeans
from sceval.models.request import NotApplicable
from sceval.models.transformer.encode import CellProgress, each_batch
from sceval.training.seed import derive_seed, hash_ids, hashed_bits

if TYPE_CHECKING:
    import torch

    from sceval.contract import CellFile
    from sceval.models.transformer.session import Session

#: Attention probabilities held at a time (cells x heads x positions squared).
_PROBABILITIES = 100_000_000


def drawn_rows(session: Session, most: int, what: str) -> np.ndarray:
    """Return at most `most` rows (0 = all) in the order of the file, drawn by cell id and seed."""
    n = len(session.cell_ids)
    if not most or n <= most:
        return np.arange(n)
    draw = hashed_bits(hash_ids(session.cell_ids), np.zeros(1, np.int64), derive_seed(session.seed, what))
    session.warnings.append(f"{most} of {n} cells, drawn by their ids, were used")
    return np.sort(np.argsort(draw.ravel(), kind="stable")[:most])


def _regulators(view: CellFile, ids: np.ndarray) -> np.ndarray:
    """Return which genes may be a source: those that the view names, else all."""
    named = (view.uns.get("network") or {}).get("regulators")
    if named is None:
        return np.ones(len(ids), bool)
    return np.isin(ids.astype(str), np.asarray(named, str))


def chosen_genes(session: Session, sources: np.ndarray, most: int) -> np.ndarray:
    """Return columns to score, one for each token: all sources, then those that most cells express, `most` in all."""
    tokens = session.token_ids
    cells = np.asarray(session.counts.getnnz(axis=0)).ravel()
    order = np.lexsort((np.arange(len(tokens)), -cells, ~sources))
    order = order[tokens[order] >= 0]
    order = order[np.sort(np.unique(tokens[order], return_index=True)[1])]
    if most and len(order) > most:
        session.warnings.append(f"{most} of {len(order)} known genes were used, those that most cells express first")
        order = order[:most]
    return np.sort(order)


def _cosines(X: np.ndarray) -> np.ndarray:
    X = X.astype(np.float64)
    length = np.sqrt((X**2).sum(1, keepdims=True))
    unit = X / np.where(length > 0, length, np.nan)
    return unit @ unit.T


def _attention(session: Session, rows: np.ndarray, tokens_of: np.ndarray) -> np.ndarray:
    """Return scores target x source."""
    network = session.loaded.network
    place_of = np.full(network.config.n_tokens, -1, np.int64)
    place_of[tokens_of] = np.arange(len(tokens_of))
    tokens = session.tokenize(rows)
    known = np.flatnonzero(tokens.usable)
    longest = int(tokens.lengths[known].max(initial=1))
    size = max(1, min(session.settings["batch_size"], _PROBABILITIES // (network.config.n_heads * longest**2)))
    total = MeanAttention(network, place_of)
    progress = CellProgress(f"{session.model.info.name} infer-network", len(known))
    each_batch(tokens, known, session.place, session.settings | {"batch_size": size}, total.add, progress)
    session.facts["cells_used"] = len(known)
    return total.mean()


def _contextual(session: Session, rows: np.ndarray, tokens_of: np.ndarray) -> np.ndarray:
    network = session.loaded.network
    means = TokenMeans(network.config.n_tokens, network.config.width)
    tokens = session.tokenize(rows)
    known = np.flatnonzero(tokens.usable)

    def use(chunk: np.ndarray, batch: dict[str, torch.Tensor]) -> None:
        x, ids = network.contextual(batch)
        means.add(x.float().cpu().numpy(), ids.cpu().numpy())

    progress = CellProgress(f"{session.model.info.name} infer-network", len(known))
    each_batch(tokens, known, session.place, session.settings, use, progress)
    session.facts["cells_used"] = len(known)
    return _cosines(means.mean()[tokens_of])


def _static(session: Session, rows: np.ndarray, tokens_of: np.ndarray) -> np.ndarray:
    return _cosines(session.loaded.network.gene_table().detach().float().cpu().numpy()[tokens_of])


WAYS: dict[str, Any] = {"attention": _attention, "embedding": _static, "contextual": _contextual}
"""Value of `network_from` -> scores (target x source) from session, rows of cells and tokens of genes."""


def infer_network(session: Session, view: CellFile, ways: Mapping[str, Any] = WAYS) -> GeneNetwork:
    """Score edges between the genes of a view.

    Parameters
    ----------
    session
        Settings: `network_from` (`attention`: how much the target looks at the source, averaged over layers, heads and
        the cells in which both stand; `embedding`: cosine of their rows in the token table; `contextual`: cosine of
        their mean hidden states), `network_genes`, `network_cells`, `network_edges` (most genes, cells, edges; 0 =
        all).
    view
        Its `uns['network']['regulators']` are the only sources, where it has them.
    ways
        Another model's ways of scoring.

    Raises
    ------
    NotApplicable
        No regulator is known, or no two genes stand together in a cell.
    """
    settings = session.settings
    session.loaded  # noqa: B018 - too few known genes end here
    sources = _regulators(view, session.gene_ids)
    columns = chosen_genes(session, sources, settings["network_genes"])
    tokens_of = session.token_ids[columns]
    rows = drawn_rows(session, settings["network_cells"], "network cells")
    scores = ways[settings["network_from"]](session, rows, tokens_of)
    np.fill_diagonal(scores, np.nan)
    scores[:, ~sources[columns]] = np.nan
    target, source = np.nonzero(np.isfinite(scores))
    values = scores[target, source]
    if not values.size:
        raise NotApplicable("no edge can be scored: no known regulator, or no two known genes stand together in a cell")
    most = settings["network_edges"]
    if most and values.size > most:
        session.warnings.append(f"{most} of {values.size} scored edges are written, the highest ones")
        kept = np.sort(np.argsort(-values, kind="stable")[:most])
        target, source, values = target[kept], source[kept], values[kept]
    names = np.asarray(session.gene_ids, object)[columns]
    session.facts["genes_scored"] = len(columns)
    session.tell_device()
    return GeneNetwork(names[source], names[target], values)
