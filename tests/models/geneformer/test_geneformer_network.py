"""The network: shortcuts give what the long way gives, and what the heads read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.geneformer.blocks import CellHead, GeneHead
from sceval.models.geneformer.extract import MeanAttention, TokenMeans
from sceval.models.geneformer.masking import IGNORED, mask_batch
from sceval.models.geneformer.network import mean_of


def tensors(batch):
    return {name: torch.from_numpy(value) for name, value in batch.items()}


@pytest.mark.parametrize("emb_layer", [-1, 0])
@pytest.mark.parametrize("pooling", ["cls", "cell"])
@torch.no_grad()
def test_cell_vectors_against_the_long_way(small, pooling, emb_layer):
    s = small(pooling=pooling, emb_layer=emb_layer)
    rows = np.flatnonzero(s.tokens.usable)
    batch = tensors(s.tokens.batch(rows))
    states = s.network.hidden_states(batch)
    assert len(states) == 3
    x = states[-1 + emb_layer]
    ids = s.network.gene_ids(batch)
    assert ((ids >= 0).sum(1).numpy() == s.tokens.lengths[rows] - 2).all()
    expected = x[:, 0] if pooling == "cls" else mean_of(x, ids >= 0)
    torch.testing.assert_close(s.network.encode(batch), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(s.network.features(batch), states[-1][:, 0], atol=1e-5, rtol=1e-5)
    for i, row in enumerate(rows):  # alone, without padding
        alone = s.network.encode(tensors(s.tokens.batch([row])))
        torch.testing.assert_close(alone[0], expected[i], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_probabilities_are_those_of_the_fused_kernel(small):
    s = small(max_tokens=0)
    batch = tensors(s.tokens.batch(np.flatnonzero(s.tokens.usable)[:4]))
    mask = batch["attention_mask"]
    x = s.network.hidden_states(batch)
    for number, probabilities in enumerate(s.network.attention(batch)):
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(probabilities.shape[:-1]))
        assert (probabilities.transpose(1, 3)[~mask] == 0).all()
        block = s.network.layers[number]
        mixed = (probabilities @ block._heads(block.value(x[number]))).transpose(1, 2).flatten(2)
        out = block.attention_norm(x[number] + block.out(mixed))
        out = block.norm(out + block.down(torch.relu(block.up(out))))
        torch.testing.assert_close(out, x[number + 1], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_mean_attention_does_not_depend_on_batches(small):
    s = small()
    rows = np.flatnonzero(s.tokens.usable)
    place_of = np.full(len(s.vocabulary), -1)
    place_of[4:20] = np.arange(16)
    found = []
    for size in (20, 3):
        mean = MeanAttention(s.network, place_of)
        for start in range(0, len(rows), size):
            mean.add(rows[start : start + size], tensors(s.tokens.batch(rows[start : start + size])))
        found.append(mean)
    np.testing.assert_array_equal(found[0].cells, found[1].cells)
    np.testing.assert_allclose(found[0].mean(), found[1].mean(), atol=1e-6)
    has = np.zeros((len(rows), 16), int)
    for i, row in enumerate(rows):
        own = s.tokens.genes_of(row)
        has[i, own[own < 20] - 4] = 1
    np.testing.assert_array_equal(found[0].cells, has.T @ has)


def test_means_of_tokens():
    means = TokenMeans(4, 2)
    means.add(np.array([[[1.0, 2], [3, 4]], [[5, 6], [9, 9]]]), np.array([[1, 2], [1, -1]]))
    np.testing.assert_array_equal(means.mean()[1:3], [[3, 4], [3, 4]])
    assert np.isnan(means.mean()[[0, 3]]).all()


def test_heads_are_the_official_ones(small):
    s = small(dropout=0.5)
    head = s.network.new_head(3, {})
    assert isinstance(head, CellHead)
    first = torch.randn(4, 16)
    head.eval()
    expected = head.classifier(torch.tanh(head.pooler(first)))
    torch.testing.assert_close(head(first), expected)
    head.train()
    assert not torch.equal(head(first), expected)
    assert isinstance(s.network.new_gene_head(3, {}), GeneHead)
    trains = s.network.finetune_rule()
    names = [name for name, _ in s.network.named_parameters()]
    assert {name for name in names if not trains(name)} == {name for name in names if "masked_head" in name}
    assert all(dict(s.network.named_parameters())[name].dim() == 2 for name in s.network.attention_projections())


def test_masked_token_training_learns_and_is_seeded(small):
    s = small(n_cells=60)
    rows = np.flatnonzero(s.tokens.usable)
    batch = tensors(s.tokens.masked_batch(rows, epoch=0))
    optimizer = torch.optim.Adam(s.network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss, terms = s.network.pretraining_loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(terms["mlm"])
    assert losses[-1] < 0.7 * losses[0]
    nothing = batch | {"labels": torch.full_like(batch["labels"], IGNORED)}
    loss, terms = s.network.pretraining_loss(nothing)
    assert float(loss.detach()) == terms["mlm"] == 0
    plain = tensors(s.tokens.batch(rows))
    drawn = [
        mask_batch(plain, s.network.gene_ids(plain), s.network.config, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn[0]["input_ids"], drawn[1]["input_ids"])
    assert not torch.equal(drawn[0]["labels"], drawn[2]["labels"])
    asked = drawn[0]["labels"] != IGNORED
    assert torch.equal(drawn[0]["labels"][asked], plain["input_ids"][asked])
    assert (plain["input_ids"][asked] >= 4).all()
    assert np.isfinite(s.network.pretraining_loss(plain)[1]["mlm"])


def test_too_many_tokens(small):
    with pytest.raises(ValueError, match="13 tokens, but the model has 12 positions"):
        small().network.encode({"input_ids": torch.ones(1, 13, dtype=torch.int64)})
