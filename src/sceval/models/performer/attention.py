"""Attention in linear time by positive random features (FAVOR+; Choromanski et al. 2021, ICLR), softmax kernel.

With x scaled by d^-1/4 and a random matrix W of m rows, the features of a query or key are
``exp(W x - |x|^2 / 2 - c) + eps``; c is the largest entry of ``W x`` in the row (queries) or in more than the row
(keys), and gradient flows through it, as in the implementation of performer-pytorch that the official codes took over.
Its factor m^-1/2 cancels.

The features of a whole sequence are never held: positions are worked off in tiles, the keys' tiles are summed with a
maximum of their own that is put right at the end, and the constant eps, which is separable, is added to the sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

EPS = 1e-4
STABILIZERS = ("cell", "batch")
#: Features held at a time (float32): 4 MB stay in the cache of most processors.
TILE = 1 << 20
#: On a GPU launching costs more than memory.
TILE_CUDA = 1 << 26


class KeySums(NamedTuple):
    """What the queries need to know about the keys.

    ``exponential`` (n, h, m, e + 1): features times (value, weight), without eps and divided by exp(``peak``);
    ``plain`` (n, h, 1, e + 1): the sum of (value, weight); ``peak`` (n,): the largest projected key of each cell.
    """

    exponential: Tensor
    plain: Tensor
    peak: Tensor


def orthogonal_features(n_features: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw a random matrix (n_features, width): orthogonal blocks, row lengths as those of Gaussian rows."""
    blocks = []
    for start in range(0, n_features, width):
        basis = torch.linalg.qr(torch.randn(width, width, generator=generator))[0].T
        blocks.append(basis[: n_features - start])
    lengths = torch.randn(n_features, width, generator=generator).norm(dim=1)
    return lengths[:, None] * torch.cat(blocks)


def n_features_for(width: int) -> int:
    """Official number of random features of a head: int(d ln d), 266 for 64."""
    return int(width * math.log(width))


def _project(x: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Return W x (n, h, t, m) and |x|^2 / 2 (n, h, t, 1) of scaled x."""
    scaled = x * x.shape[-1] ** -0.25
    return scaled @ projection.T, scaled.square().sum(-1, keepdim=True) / 2


def _key_tile(key: Tensor, values: Tensor, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over one tile, divided by exp(peak); the peak (n,) is differentiable, the sums hold it fixed."""
    raw, norm = _project(key, projection)
    peak = raw.amax(dim=(1, 2, 3))
    shift = norm + peak.detach()[:, None, None, None]
    features = (raw - shift).exp() if raw.requires_grad else raw.sub_(shift).exp_()
    return features.transpose(-1, -2) @ values, peak


def _query_tile(query: Tensor, context: Tensor, projection: Tensor, eps: float) -> Tensor:
    """Attention output (n, h, t, e) of one tile of queries."""
    raw, norm = _project(query, projection)
    shift = norm + raw.amax(dim=-1, keepdim=True)
    features = (raw - shift).exp() + eps if raw.requires_grad else raw.sub_(shift).exp_().add_(eps)
    out = features @ context
    return out[..., :-1] / out[..., -1:]


def _tiles(x: Tensor, projection: Tensor, tile: int | None) -> list[slice]:
    size = tile or (TILE_CUDA if x.is_cuda else TILE)
    step = max(1, size // (x.shape[0] * x.shape[1] * projection.shape[0]))
    return [slice(start, start + step) for start in range(0, x.shape[2], step)]


def _call(function: Callable, again: bool, *arguments: Tensor | float) -> Any:
    """Call a tile's function; with gradients and several tiles its features are computed anew in the backward pass."""
    return checkpoint(function, *arguments, use_reentrant=False) if again else function(*arguments)


def key_sums(key: Tensor, values: Tensor, projection: Tensor, tile: int | None = None) -> KeySums:
    """Sum over all keys (n, h, t, d) with their (value, weight) (n, h, t, e + 1); see :class:`KeySums`."""
    tiles = _tiles(key, projection, tile)
    needs = torch.is_grad_enabled() and (key.requires_grad or values.requires_grad)
    total, top = None, None
    for part in tiles:
        sums, peak = _call(_key_tile, needs and len(tiles) > 1, key[:, :, part], values[:, :, part], projection)
        if total is None:
            # Sums were divided by the exponential of a fixed peak; from here on the peak's gradient counts.
            total, top = sums * (peak.detach() - peak).exp()[:, None, None, None], peak
            continue
        higher = torch.maximum(top, peak)
        total = total * (top - higher).exp()[:, None, None, None]
        total = total + sums * (peak.detach() - higher).exp()[:, None, None, None]
        top = higher
    return KeySums(total, values.sum(dim=2, keepdim=True), top)


def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    projection: Tensor,
    *,
    weight: Tensor | None = None,
    stabilizer: str = "cell",
    eps: float = EPS,
    tile: int | None = None,
) -> Tensor:
    """Attend to all positions at a cost that is linear in their number.

    Parameters
    ----------
    query, key
        n cells x h heads x t positions x d.
    value
        n x h x t x e; zero where a position shall give nothing.
    projection
        Random features, m x d.
    weight
        How often each key counts in the denominator, n x t: 0 leaves it out, a count stands for so many equal keys.
        1 by default. Keys of weight 0 still enter the maximum.
    stabilizer
        Over what the maximum that is subtracted from the keys goes: ``cell`` (heads, positions, features of a cell; a
        cell's result depends on itself alone) or ``batch`` (the official codes: all cells of the call together; because
        of eps a result then depends on the other cells).
    eps
        Added to every feature.
    tile
        Features held at a time.

    Returns
    -------
    n x h x t x e, float32: random features lose too much in half precision.
    """
    if stabilizer not in STABILIZERS:
        raise ValueError(f"unknown stabilizer {stabilizer!r}; choose one of {', '.join(STABILIZERS)}")
    with torch.autocast(query.device.type, enabled=False):
        kind = torch.promote_types(projection.dtype, torch.float32)
        query, key, value = query.to(kind), key.to(kind), value.to(kind)
        ones = value.new_ones(()).expand(value.shape[:-1]) if weight is None else weight.to(kind)[:, None]
        values = torch.cat([value, ones.expand(value.shape[:-1])[..., None]], dim=-1)
        sums = key_sums(key, values, projection, tile)
        context = sums.exponential
        if stabilizer == "batch":
            context = context * (sums.peak - sums.peak.max()).exp()[:, None, None, None]
        context = context + eps * sums.plain
        tiles = _tiles(query, projection, tile)
        needs = torch.is_grad_enabled() and (query.requires_grad or context.requires_grad)
        again = needs and len(tiles) > 1
        parts = [_call(_query_tile, again, query[:, :, part], context, projection, eps) for part in tiles]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
