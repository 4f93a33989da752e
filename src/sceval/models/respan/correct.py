"""Batch after batch mapped onto those before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sceval.models.respan.gan import Gan, GanSettings, train
from sceval.models.respan.network import HIDDEN, Critic, Generator
from sceval.models.respan.pairs import (
    Partners,
    batch_order,
    filter_pairs,
    mutual_neighbors,
    neighbor_counts,
    subsample,
    walk,
)
from sceval.models.respan.reduction import loading_genes, reduce
from sceval.training.device import choose_device
from sceval.training.loop import Progress
from sceval.training.seed import derive_seed, seed_everything

_BLOCK = 4096


@dataclass(frozen=True)
class Settings:
    """How to find pairs and how to train on them.

    Attributes
    ----------
    reduction, n_components
        Space in which neighbors are looked for, see :func:`sceval.models.respan.reduction.reduce`.
    k1, k2
        Neighbors between and within batches; 0 takes :func:`sceval.models.respan.pairs.neighbor_counts`.
    pair_cells
        Most cells of a batch among which pairs are looked for.
    filtering
        Keep only pairs that are near in the genes with the largest loadings.
    hidden
        Width of the outermost hidden layers of both networks; a multiple of 8.
    training
        See :class:`sceval.models.respan.gan.GanSettings`.
    """

    reduction: str = "pca"
    n_components: int = 20
    k1: int = 0
    k2: int = 0
    pair_cells: int = 3000
    filtering: bool = False
    hidden: int = HIDDEN
    training: GanSettings = field(default_factory=GanSettings)


@dataclass
class Corrected:
    """Corrected expression (n x g float32, rows as given), the order of the batches, and what happened at each."""

    X: np.ndarray
    order: list[str]
    steps: list[dict[str, Any]] = field(default_factory=list)


def find_pairs(reference: np.ndarray, query: np.ndarray, settings: Settings, seed: int) -> np.ndarray:
    """Return the training pairs of two batches, p x 2, rows of `reference` and `query`.

    Parameters
    ----------
    reference, query
        Log-normalized expression, cells x genes.
    settings
        See :class:`Settings`.
    seed
        Seeds NumPy's legacy generator before the sub-sampling, and again before the walk.
    """
    rows = subsample(len(reference), len(query), settings.pair_cells, np.random.RandomState(seed))
    reference, query = reference[rows[0]], query[rows[1]]
    spaces = reduce(reference, query, settings.reduction, settings.n_components)
    k1, k2 = neighbor_counts(len(reference), len(query))
    cross = mutual_neighbors(*spaces, settings.k1 or k1)
    partners = [Partners.of(space, settings.k2 or k2) for space in spaces]
    pairs = walk(cross, *partners, np.random.RandomState(seed))
    if settings.filtering:
        genes = loading_genes(reference, query, settings.n_components)
        pairs = filter_pairs(pairs, reference[:, genes], query[:, genes])
    return np.column_stack([rows[0][pairs[:, 0]], rows[1][pairs[:, 1]]])


@torch.no_grad()
def _mapped(generator: Generator, X: torch.Tensor) -> np.ndarray:
    return np.concatenate([generator(part).cpu().numpy() for part in X.split(_BLOCK)])


def correct(
    X: np.ndarray,
    batch: np.ndarray,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[str], Callable[[Progress], None]] | None = None,
) -> Corrected:
    """Map each batch onto those before it, the most varied first; the first stays as it is.

    Parameters
    ----------
    X
        n x g log-normalized expression, not negative.
    batch
        Batch of each cell, n.
    settings
        See :class:`Settings`.
    seed
        Seeds pairs and networks.
    device
        ``auto``, ``cpu`` or ``cuda``.
    on_progress
        From the name of a batch to what is called after each step of its training.

    Returns
    -------
    Corrected
        A batch without any pair stays as it is; its step says 0 pairs.
    """
    settings = settings or Settings()
    place = choose_device(device)
    batch = np.asarray(batch).astype(str)
    out = np.array(X, np.float32)
    order, score = batch_order(out, batch)
    result = Corrected(out, order, [{"batch": order[0], "spread": float(score[0]), "pairs": 0}])
    done = np.flatnonzero(batch == order[0])
    for name, spread in zip(order[1:], score[1:], strict=True):
        rows = np.flatnonzero(batch == name)
        own = derive_seed(seed, "respan", name)
        pairs = find_pairs(out[done], out[rows], settings, own % 2**32)
        step: dict[str, Any] = {"batch": name, "spread": float(spread), "pairs": len(pairs)}
        if len(pairs):
            seed_everything(own)
            gan = Gan(
                Generator(out.shape[1], settings.hidden).to(place),
                Critic(out.shape[1], settings.hidden).to(place),
                lr=settings.training.lr,
            )
            query, reference = torch.from_numpy(out[rows]).to(place), torch.from_numpy(out[done]).to(place)
            told = None if on_progress is None else on_progress(name)
            history = train(gan, query, reference, pairs, settings.training, np.random.default_rng(own), told)
            out[rows] = _mapped(gan.generator, query)
            step |= {"first_critic_loss": history[0].critic, "last_critic_loss": history[-1].critic}
        result.steps.append(step)
        done = np.concatenate([done, rows])
    return result
