"""tGPT against the numbers of the official code (../shared/parity/tgpt), within the tolerances of its read-me."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.models.tgpt.checkpoint import load, official_name
from sceval.models.tgpt.tokens import tokenize

MODES = {
    "raw": {"unknown": "upstream", "exclude": False},
    "vocab": {"unknown": "drop", "exclude": False},
    "excl": {"unknown": "drop", "exclude": True},
}
NO_DROPOUT = {"dropout": 0.0}


def tokens_of(parity, mode):
    vocabulary = load(parity.official, {}, 0).vocabulary
    return tokenize(
        parity.counts, parity.genes, parity.cells, vocabulary, {"max_length": parity.max_length, **MODES[mode]}, 0
    )


def tensors(batch):
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


def batch_of(ids):
    """A mini-batch of the fixture's padded ids."""
    ids = ids.astype(np.int64)
    return tensors({"input_ids": ids, "lengths": (ids != 0).sum(1)})


@pytest.mark.parametrize("mode", MODES)
def test_tokens(parity, mode):
    expected = parity.expected("tokens")
    tokens = tokens_of(parity, mode)
    batch = tokens.batch(np.arange(len(parity.cells)))
    np.testing.assert_array_equal(tokens.lengths, expected[f"len_{mode}"])
    width = batch["input_ids"].shape[1]
    np.testing.assert_array_equal(batch["input_ids"], expected[f"ids_{mode}"][:, :width])
    assert (expected[f"ids_{mode}"][:, width:] == 0).all()


def test_tokens_of_the_text_format(parity):
    """The lines of the official text format give the same ids as the counts do."""
    vocabulary = load(parity.official, {}, 0).vocabulary
    expected = parity.expected("tokens")
    for line, ids, length in zip(
        (parity.folder / "rankings_raw.txt").read_text().splitlines(),
        expected["ids_raw"],
        expected["len_raw"],
        strict=True,
    ):
        words = [piece for symbol in line.split() for piece in vocabulary.pieces(symbol)]
        assert [vocabulary.bos_id, *words[: parity.max_length - 2], vocabulary.eos_id] == ids[:length].tolist()


def test_cells_of_the_study(parity):
    """Cells whose expressed genes fill all places: for them the study's ranking is this one."""
    expected = parity.expected("tokens")
    full = np.diff(parity.counts.indptr) >= parity.max_length - 2
    np.testing.assert_array_equal(np.flatnonzero(full), expected["sceval_cells"])
    np.testing.assert_array_equal(
        tokens_of(parity, "raw").batch(expected["sceval_cells"])["input_ids"],
        expected["ids_raw"][expected["sceval_cells"]],
    )


@pytest.mark.parametrize("folder", ["transcriptome-gpt-1024-8-16-64", "safetensors_copy"])
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_cell_embeddings(parity, folder, mode):
    network = load(parity.folder / folder, {}, 0).network
    tokens = tokens_of(parity, mode)
    found = network.encode(tensors(tokens.batch(np.arange(len(parity.cells)))))
    np.testing.assert_allclose(found.numpy(), parity.expected("forward")[f"emb_{mode}"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_cell_embeddings_without_type_ids(parity):
    network = load(parity.official, {"type_ids": False}, 0).network
    found = network.encode(batch_of(parity.expected("tokens")["ids_vocab"]))
    np.testing.assert_allclose(found.numpy(), parity.expected("forward")["emb_vocab_notype"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_hidden_states(parity):
    expected = parity.expected("forward")
    network = load(parity.official, {}, 0).network
    batch = tokens_of(parity, "vocab").batch(expected["h_cells"])
    width = batch["input_ids"].shape[1]
    np.testing.assert_array_equal(batch["input_ids"], expected["h_input_ids"][:, :width])
    batch = batch_of(expected["h_input_ids"])
    real = (batch["input_ids"] != 0)[:, :, None]
    x = network.embed(batch["input_ids"])
    steps = {"h_embed": x}
    for i, layer in enumerate(network.layers):
        x = layer(x)
        steps |= {"h_block0": x} if i == 0 else {}
    steps |= {"h_lastblock": x, "h_out": network.hidden(batch["input_ids"])}
    plain = load(parity.official, {"type_ids": False}, 0).network
    steps["h_out_notype"] = plain.hidden(batch["input_ids"])
    for name, value in steps.items():
        np.testing.assert_allclose((value * real).numpy(), expected[name], rtol=1e-4, atol=5e-5, err_msg=name)
    length = int(batch["lengths"][0])
    logits = network.token_logits(steps["h_out"][0, :length])
    np.testing.assert_allclose(logits.numpy(), expected["logits_first"], rtol=1e-4, atol=5e-5)


def test_contextual_positions(parity):
    """The mean of the contextual vectors of the genes is the cell vector."""
    network = load(parity.official, {}, 0).network
    with torch.no_grad():
        hidden, genes = network.contextual(batch_of(parity.expected("tokens")["ids_vocab"]))
        mean = (hidden * (genes >= 0)[:, :, None]).sum(1) / (genes >= 0).sum(1, keepdim=True)
    np.testing.assert_allclose(mean.numpy(), parity.expected("forward")["emb_vocab"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_language_model_loss(parity):
    expected = parity.expected("lm")
    ids = parity.expected("tokens")["ids_vocab"][expected["cells"]]
    np.testing.assert_array_equal(np.where(ids == 0, -100, ids), expected["labels"])
    network = load(parity.official, {}, 0).network
    batch = batch_of(ids)
    np.testing.assert_array_equal(batch["lengths"].numpy() - 1, expected["n_targets"])
    np.testing.assert_allclose(float(network.pretraining_loss(batch)[0]), expected["loss"], rtol=0, atol=1e-5)
    each = [float(network.pretraining_loss(batch_of(row[None]))[0]) for row in ids]
    np.testing.assert_allclose(each, expected["loss_each"], rtol=0, atol=1e-5)
    plain = load(parity.official, {"type_ids": False}, 0).network
    np.testing.assert_allclose(float(plain.pretraining_loss(batch)[0]), expected["loss_notype"], rtol=0, atol=1e-5)


def close_norms(found, names, expected, loose):
    """Norms by the tolerances of the read-me; `c_attn.bias` apart."""
    for name, value, right in zip(names, found, expected, strict=True):
        limits = loose if name.endswith("c_attn.bias") else {"rtol": 1e-5}
        np.testing.assert_allclose(value, right, err_msg=name, **{"atol": 0, **limits})


def test_pretraining_steps(parity):
    expected = parity.expected("lm")
    network = load(parity.official, NO_DROPOUT, 0).network.train()
    batch = batch_of(parity.expected("tokens")["ids_vocab"][expected["cells"]])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0)
    losses = []
    for step in range(4):
        loss, _ = network.pretraining_loss(batch)
        losses.append(float(loss.detach()))
        if step < 3:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    np.testing.assert_allclose(losses, expected["train_loss"], rtol=0, atol=1e-5)
    own = {official_name(name): float(p.detach().norm()) for name, p in network.named_parameters()}
    assert sorted(own) == sorted(expected["train_param_names"])
    names = [str(name) for name in expected["train_param_names"]]
    close_norms([own[name] for name in names], names, expected["train_param_norm"], {"atol": 2e-3, "rtol": 0})


def given_head(expected):
    head = torch.nn.Linear(expected["weight"].shape[1], len(expected["classes"]))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(expected["weight"]))
        head.bias.copy_(torch.from_numpy(expected["bias"]))
    return head


@torch.no_grad()
def test_head(parity):
    expected = parity.expected("head")
    network = load(parity.official, {}, 0).network
    logits = network.logits(given_head(expected), batch_of(parity.expected("tokens")["ids_vocab"]))
    np.testing.assert_allclose(logits.numpy(), expected["logits"], rtol=1e-4, atol=5e-5)
    assert network.new_head(len(expected["classes"]), {}).weight.shape == expected["weight"].shape


@pytest.mark.parametrize("what", ["all", "head"])
def test_finetuning_steps(parity, what):
    expected = parity.expected("train")
    network = load(parity.official, NO_DROPOUT, 0).network.train()
    head = given_head(parity.expected("head"))
    batch = batch_of(parity.expected("tokens")["ids_vocab"][expected["cells"]])
    labels = torch.from_numpy(expected["labels"])
    own = {f"classifier.{name}": p for name, p in head.named_parameters()}
    if what == "all":
        rule = network.finetune_rule()
        train = {official_name(n).removeprefix("transformer."): p for n, p in network.named_parameters() if rule(n)}
        own = train | own
    names = [str(name) for name in expected[f"param_names_{what}"]]
    assert sorted(own) == sorted(names)
    before = {name: p.detach().clone() for name, p in own.items()}
    optimizer = torch.optim.Adam([own[name] for name in names], lr=1e-3)
    losses, first = [], []
    for step in range(4):
        loss = torch.nn.functional.cross_entropy(network.logits(head, batch), labels)
        losses.append(float(loss.detach()))
        if step < 3:
            optimizer.zero_grad()
            loss.backward()
            first = first or [float(own[name].grad.norm()) for name in names]
            optimizer.step()
    np.testing.assert_allclose(losses, expected[f"loss_{what}"], rtol=0, atol=1e-5)
    norms = [float(own[name].detach().norm()) for name in names]
    changes = [float((own[name].detach() - before[name]).norm()) for name in names]
    close_norms(norms, names, expected[f"param_norm_{what}"], {"atol": 2e-3, "rtol": 0})
    for found, key in ((changes, "param_delta_norm"), (first, "grad_norm_step1")):
        for name, value, right in zip(names, found, expected[f"{key}_{what}"], strict=True):
            limit = 2e-2 if name.endswith("c_attn.bias") else 1e-3
            np.testing.assert_allclose(value, right, rtol=limit, err_msg=f"{key} {name}")
    total = np.sqrt(np.sum(np.square(norms)))
    np.testing.assert_allclose(total, expected[f"total_norm_{what}"], rtol=1e-5)
    np.testing.assert_allclose(head.weight.detach().numpy(), expected[f"head_weight_{what}"], rtol=1e-4, atol=5e-5)
