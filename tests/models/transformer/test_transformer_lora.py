"""LoRA: nothing at first, trains alone, merges away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.transformer.annotate import annotate_cells
from sceval.models.transformer.lora import add_lora, merge_lora


@pytest.fixture
def network(made):
    session = made.session("annotate", "finetune")
    batch = {k: torch.from_numpy(v) for k, v in session.tokenize().batch(np.arange(10)).items()}
    return session.loaded.network, batch


def test_it_changes_nothing_at_first_and_trains_alone(network):
    network, batch = network
    before = network.encode(batch).detach()
    names = network.attention_projections()
    add_lora(network, names, rank=3, alpha=6.0, seed=0)
    torch.testing.assert_close(network.encode(batch), before, rtol=0, atol=0)
    trains = {name for name, p in network.named_parameters() if p.requires_grad}
    assert len(trains) == 2 * len(names)
    assert all(name.endswith((".A", ".B")) for name in trains)
    sizes = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert sizes == len(names) * 3 * (16 + 16)


def test_merging_keeps_the_result_and_the_names(network):
    network, batch = network
    keys = list(network.state_dict())
    plain = network.layers[0].query.weight.detach().clone()
    add_lora(network, network.attention_projections(), rank=3, alpha=6.0, seed=0)
    part = network.layers[0].query.parametrizations.weight[0]
    torch.nn.init.normal_(part.B)
    expected = plain + 2.0 * (part.B @ part.A).detach()
    adapted = network.encode(batch).detach()
    merge_lora(network, network.attention_projections())
    torch.testing.assert_close(network.encode(batch).detach(), adapted)
    torch.testing.assert_close(network.layers[0].query.weight.detach(), expected)
    assert sorted(network.state_dict()) == sorted(keys)


def test_its_matrices_depend_on_the_seed_alone(made):
    def first(seed):
        torch.rand(5)
        network = made.session("annotate", "finetune").loaded.network
        add_lora(network, network.attention_projections(), 2, 2.0, seed)
        return network.layers[1].value.parametrizations.weight[0].A.detach()

    torch.testing.assert_close(first(0), first(0), rtol=0, atol=0)
    assert not torch.allclose(first(0), first(1))


def test_it_learns(made):
    session = made.session("annotate", "finetune", lora_rank=4, epochs=25)
    result = annotate_cells(session, made.labels, 3)
    query = made.labels < 0
    assert (result.probability.argmax(1) == made.classes)[query].mean() > 0.8
    assert result.history.train[-1]["loss"] < result.history.train[0]["loss"]
    assert session.facts["parameters_trained"] == 4 * 4 * (16 + 16) + 16 * 3 + 3  # four weights, and the head


def test_what_it_cannot_do(network):
    network, _ = network
    with pytest.raises(ValueError, match="rank 0"):
        add_lora(network, ["layers.0.query.weight"], 0, 1.0, 0)
    with pytest.raises(ValueError, match="no matrix"):
        add_lora(network, ["layers.0.query.bias"], 1, 1.0, 0)
