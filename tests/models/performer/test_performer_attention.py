"""Linear attention against the formula written out, and the stack around it."""

from __future__ import annotations

import pytest
import torch

from sceval.models.performer.attention import linear_attention, n_features_for, orthogonal_features
from sceval.models.performer.network import Performer, PerformerConfig


def written_out(q, k, v, w, stabilizer, eps=1e-4):
    """Features of all positions at once, maxima not detached."""
    scale = q.shape[-1] ** -0.25

    def features(x, key):
        raw = (x * scale) @ w.T
        norm = (x * scale).square().sum(-1, keepdim=True) / 2
        most = raw.amax(-1, keepdim=True)
        if key:
            most = raw.max() if stabilizer == "batch" else raw.amax((1, 2, 3), keepdim=True)
        return w.shape[0] ** -0.5 * ((raw - norm - most).exp() + eps)

    q, k = features(q, False), features(k, True)
    return (q @ (k.transpose(-1, -2) @ v)) / (q @ k.sum(2)[..., None])


def inputs(n=3, h=2, t=17, d=8, e=5):
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(n, h, t, d, generator=generator, dtype=torch.float64) for _ in range(2))
    v = torch.randn(n, h, t, e, generator=generator, dtype=torch.float64)
    w = orthogonal_features(11, d, generator).double()
    return [x.requires_grad_() for x in (q, k, v)], w


@pytest.mark.parametrize("stabilizer", ["cell", "batch"])
@pytest.mark.parametrize("tile", [None, 3 * 2 * 11, 3 * 2 * 11 * 5])
def test_value_and_gradients_are_those_of_the_formula_whatever_the_tiles(stabilizer, tile):
    (q, k, v), w = inputs()
    # A larger eps, so that the maxima and their gradients matter.
    expected = written_out(q, k, v, w, stabilizer, eps=0.01)
    actual = linear_attention(q, k, v, w, stabilizer=stabilizer, tile=tile, eps=0.01)
    torch.testing.assert_close(actual, expected)
    weight = torch.linspace(-1, 1, actual.numel(), dtype=torch.float64).view_as(actual)
    for a, b in zip(*(torch.autograd.grad((x * weight).sum(), (q, k, v)) for x in (actual, expected)), strict=True):
        assert b.abs().max() > 1e-3
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(
            linear_attention(q, k, v, w, stabilizer=stabilizer, tile=tile, eps=0.01), expected.detach()
        )


def test_stabilizers_differ_between_cells_of_a_batch_and_agree_for_one():
    (q, k, v), w = inputs()
    own, whole = (linear_attention(q, k, v, w, stabilizer=s, eps=0.01) for s in ("cell", "batch"))
    assert (own - whole).abs().max() > 1e-3
    alone = linear_attention(q[:1], k[:1], v[:1], w, stabilizer="batch", eps=0.01)
    torch.testing.assert_close(own[:1], alone)


def test_a_weight_stands_for_so_many_equal_keys_without_values():
    (q, k, v), w = inputs()
    many = [torch.cat([x, x[:, :, -1:].expand(-1, -1, 6, -1)], dim=2) for x in (k, v)]
    many[1] = many[1] * (torch.arange(23) < 16)[:, None]
    expected = linear_attention(q, *many, w)
    weight = torch.ones(3, 17)
    weight[:, -1] = 7
    silent = v * (torch.arange(17) < 16)[:, None]
    torch.testing.assert_close(linear_attention(q, k, silent, w, weight=weight), expected)


def test_random_features():
    generator = torch.Generator().manual_seed(0)
    w = orthogonal_features(20, 8, generator)
    assert w.shape == (20, 8)
    block = w[:8] / w[:8].norm(dim=1, keepdim=True)
    torch.testing.assert_close(block @ block.T, torch.eye(8), atol=1e-5, rtol=0)
    assert n_features_for(64) == 266


def test_unknown_stabilizer_and_sizes():
    (q, k, v), w = inputs()
    with pytest.raises(ValueError, match="unknown stabilizer 'none'; choose one of cell, batch"):
        linear_attention(q, k, v, w, stabilizer="none")
    with pytest.raises(ValueError, match="unknown stabilizer"):
        PerformerConfig(8, 1, 1, stabilizer="none")
    with pytest.raises(ValueError, match="sizes of at least 1"):
        PerformerConfig(8, 0, 1)


def test_features_are_redrawn_only_in_training_and_only_where_asked():
    def projections(**changes):
        stack = Performer(PerformerConfig(8, 2, 2, dim_head=4, **changes), seed=3)
        seen = [stack.layers[0].projection.clone()]
        for step in range(4):
            stack.train(step != 1)
            stack(torch.zeros(1, 3, 8))
            seen.append(stack.layers[0].projection.clone())
        return seen, int(stack.calls_since_last_redraw)

    fixed, calls = projections()
    assert all(torch.equal(fixed[0], x) for x in fixed)
    assert calls == 3
    drawn, calls = projections(redraw_every=2)
    assert torch.equal(drawn[0], drawn[3])
    assert not torch.equal(drawn[0], drawn[4])
    assert calls == 0
    assert torch.equal(drawn[4], projections(redraw_every=2)[0][4])
