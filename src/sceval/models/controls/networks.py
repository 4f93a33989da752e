"""Networks that use no relation between two genes."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Network
from sceval.data.coexpression import expression
from sceval.models.edges import network_of, sources_and_genes
from sceval.models.request import Request
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms

MOST_GENES, MOST_EDGES = 2000, 300_000
"""Genes that are scored, and edges that are written."""


def random_edges(request: Request) -> Network:
    """A score drawn for each edge by itself, another one for other cells: noise is not the same in two halves."""
    sources, genes = sources_and_genes(request, MOST_GENES)
    keys = hash_ids(request.view.var_names)
    cells = int(np.bitwise_xor.reduce(hash_ids(request.view.obs_names)))
    seed = derive_seed(request.seed, "random edges", cells)
    score = hashed_uniforms(keys[sources][:, None], (keys[genes] >> np.uint64(1))[None, :], seed)
    return network_of(request, sources, genes, score, MOST_EDGES)


def expression_product(request: Request) -> Network:
    """Mean expression of source times that of target: it knows how high each gene is, and no relation."""
    sources, genes = sources_and_genes(request, MOST_GENES)
    mean = expression(request.view).mean(axis=0)
    return network_of(request, sources, genes, np.outer(mean[sources], mean[genes]), MOST_EDGES)


CONTROLS = {"random_edges": random_edges, "expression_product": expression_product}
