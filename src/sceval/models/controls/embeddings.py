"""Cell embeddings that use no gene, or genes through an untrained network only."""

from __future__ import annotations

import numpy as np
from scipy import special

from sceval.contract import CellFile
from sceval.data.preprocess import log_cp10k
from sceval.models.request import NotApplicable, Request
from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms

RANDOM_DIMENSIONS = 16
HIDDEN = 256
OUTPUT = 64
_BLOCK = 4096


def gaussians(ids: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return standard normal numbers (len(ids) x n) that depend on seed and id alone, not on order or neighbors."""
    uniform = hashed_uniforms(hash_ids(ids)[:, None], np.arange(n)[None, :], seed)
    return special.ndtri(uniform + 2.0**-54)  # a shift of half a step: never exactly 0


def random(request: Request) -> np.ndarray:
    """Gaussian noise, 16 dimensions."""
    return gaussians(request.view.obs_names, RANDOM_DIMENSIONS, derive_seed(request.seed, "random embedding"))


def batch_onehot(request: Request) -> np.ndarray:
    """The batch of each cell and nothing else."""
    if "batch" not in request.view.obs:
        msg = "batch_onehot reads the batch and this view has no column `batch` in obs"
        raise NotApplicable(msg)
    names, codes = np.unique(request.view.obs["batch"].astype(str), return_inverse=True)
    if len(names) < 2:
        msg = f"batch_onehot needs two batches; all cells are of batch {str(names[0])!r}"
        raise NotApplicable(msg)
    return np.eye(len(names))[codes]


def depth(view: CellFile) -> np.ndarray:
    """Return log1p of total counts and log1p of detected genes of each cell, n x 2."""
    total = np.asarray(view.X.sum(axis=1), dtype=np.float64).ravel()
    detected = np.asarray((view.X != 0).sum(axis=1), dtype=np.float64).ravel()
    return np.log1p(np.column_stack([total, detected]))


def log_total(request: Request) -> np.ndarray:
    """How deeply a cell was sequenced: log total counts and log detected genes."""
    return depth(request.view)


def untrained(request: Request) -> np.ndarray:
    """Two layers of random weights with a ReLU between them on log CP10k, 64 dimensions.

    Weights are drawn as an untrained network would have them (He et al. 2015: variance 2 / inputs, no bias). Those of
    a gene belong to its id, so that the order of the genes changes nothing.
    """
    view = request.view
    first = gaussians(view.var_names, HIDDEN, derive_seed(request.seed, "first layer"))
    first *= np.sqrt(2.0 / view.n_vars)
    second = gaussians(np.arange(HIDDEN), OUTPUT, derive_seed(request.seed, "second layer"))
    second *= np.sqrt(2.0 / HIDDEN)
    X = log_cp10k(view.X)
    out = np.empty((view.n_obs, OUTPUT))
    for start in range(0, view.n_obs, _BLOCK):
        hidden = np.maximum(np.asarray(X[start : start + _BLOCK] @ first), 0)
        out[start : start + _BLOCK] = hidden @ second
    return out


CONTROLS = {
    "random": random,
    "batch_onehot": batch_onehot,
    "log_total": log_total,
    "untrained": untrained,
}
