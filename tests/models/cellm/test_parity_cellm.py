"""CellLM against the official code's numbers (../shared/parity/cellm)."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sceval.models.cellm import checkpoint
from sceval.models.cellm.network import class_weights
from sceval.models.performer.keys import official_name
from sceval.models.performer.values import log2_normalize, reorder

STABILIZER = {"b1": "cell", "bN": "batch", "bM": "batch"}
FINETUNED = "celllm_finetune.pth"


def close(actual, expected, atol=2e-5, rtol=1e-4):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
    np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)


@pytest.fixture(scope="session")
def meta(parity):
    return json.loads((parity.folder / "meta.json").read_text())


@pytest.fixture(scope="session")
def made_with(official, meta):
    """As `official`, with the length of the sequence, which no file holds."""

    def make(*args, **settings):
        return official(*args, **{"max_length": meta["max_seq_len"], **settings})

    return make


def batch_of(made, rows):
    return {name: torch.from_numpy(array) for name, array in made.tokens.batch(rows).items()}


def spread(states, inputs, length):
    """Repeat each cell's pad row up to the full length (n x length x width)."""
    used = inputs.real.sum(1)
    out = []
    for own, n in zip(states, used, strict=True):
        last = own[n : n + 1] if n < len(own) else own[:0]
        out.append(torch.cat([own[:n], last.expand(length - n, -1)]) if n < length else own[:length])
    return torch.stack(out)


def test_tokens(parity, made_with, meta):
    z, made = parity.expected("tokens"), made_with()
    assert list(made.vocabulary.genes) == list(z["gene_list"])
    ids = made.vocabulary.lookup(parity.genes)
    present = np.zeros(len(made.vocabulary), bool)
    present[ids[ids >= 0]] = True
    np.testing.assert_array_equal(present, z["gene_present"])
    values = log2_normalize(reorder(parity.counts, ids, len(made.vocabulary))).toarray()
    close(values[:6], z["processed_first6"])
    processed = anndata.read_h5ad(parity.folder / "Zheng68K.h5ad").X
    close(values, processed.toarray() if hasattr(processed, "toarray") else processed)
    np.testing.assert_array_equal(made.tokens.expressed, z["n_expressed"])
    np.testing.assert_array_equal(made.tokens.used, z["used_length"])
    np.testing.assert_array_equal(made.tokens.usable, z["n_expressed"] > 0)
    rows, length = np.arange(len(parity.cells)), meta["max_seq_len"]
    batch = made.tokens.batch(rows)
    extra = ((0, 0), (0, length - batch["tokens"].shape[1]))
    for name, key, pad in (("tokens", "tokens", meta["pad_token"]), ("genes", "gene_pos", meta["pad_gene"])):
        np.testing.assert_array_equal(np.pad(batch[name], extra, constant_values=pad), z[key])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["b1", "bN"])
def test_residual_stream_pads_included(parity, made_with, meta, kind):
    z, length = parity.expected("forward"), meta["max_seq_len"]
    made = made_with(stabilizer=STABILIZER[kind])
    rows = z["batchN_cells"] if kind == "bN" else z["h_cells"]
    inputs = made.network.inputs(batch_of(made, rows))
    stream = [made.network.embed(inputs)]
    for block in made.network.layers:
        stream.append(block(stream[-1], inputs.real, inputs.weight))
    if kind == "b1":
        close(spread(stream[0], inputs, length), z["h_embed_b1"])
        close(spread(stream[1], inputs, length), z["h_block0_b1"])
        hidden = made.network.hidden(batch_of(made, rows))
        close(spread(made.network.token_logits(hidden), inputs, length), z["lm_logits_b1"])
    close(spread(stream[-1], inputs, length)[:2], z[f"h_lastblock_{kind}"])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["b1", "bN"])
def test_encodings(parity, made_with, meta, kind):
    z = parity.expected("forward")
    made = made_with(stabilizer=STABILIZER[kind])
    batch = batch_of(made, z["batchN_cells"])
    hidden = spread(made.network.hidden(batch), made.network.inputs(batch), meta["max_seq_len"])
    close(hidden[:2], z[f"enc_{kind}"])


@torch.no_grad()
@pytest.mark.parametrize(("pool", "name"), [("cls", "emb_cls"), ("genes", "emb_mean_genes"), ("all", "emb_mean_all")])
@pytest.mark.parametrize("kind", ["b1", "bN", "bM"])
def test_cell_vectors(parity, made_with, pool, name, kind):
    z = parity.expected("forward")
    made = made_with(stabilizer=STABILIZER[kind], pool=pool)
    rows = np.arange(len(parity.cells)) if kind == "b1" else z[f"batch{kind[1]}_cells"]
    close(made.network.encode(batch_of(made, rows)), z[f"{name}_{kind}"])


@torch.no_grad()
def test_number_of_pads_matters_as_it_does_officially(parity, made_with, meta):
    z = parity.expected("forward")
    made = made_with(max_length=meta["other_max_seq_len"])
    close(made.network.encode(batch_of(made, z["batchN_cells"])), z["emb_cls_otherlen"])


@torch.no_grad()
def test_token_head(parity, made_with):
    z, made = parity.expected("forward"), made_with()
    batch = batch_of(made, z["batchN_cells"][:3])
    rows, slots = torch.from_numpy(z["ce_positions"]).T
    logits = made.network.token_logits(made.network.hidden(batch))[rows, slots]
    np.testing.assert_array_equal(batch["tokens"][rows, slots], z["ce_targets"])
    close(F.cross_entropy(logits, torch.from_numpy(z["ce_targets"])), z["ce_loss"], atol=1e-5)


@torch.no_grad()
def test_classifier(parity, made_with):
    z, made = parity.expected("head"), made_with(FINETUNED)
    head = checkpoint.load_head(parity.folder, made.network, FINETUNED)
    logits = made.network.logits(head, batch_of(made, np.arange(len(parity.cells))))
    close(logits, z["logits_b1"])
    np.testing.assert_array_equal(z["classes"][logits.argmax(1)], z["pred_b1"])
    batch = batch_of(made, parity.expected("forward")["h_cells"])
    slots = head.slots(head.positions(made.network.hidden(batch)), made.network.slots(made.network.inputs(batch)))
    close(slots, z["scatter_h_cells"])
    whole = made_with(FINETUNED, stabilizer="batch")
    close(whole.network.logits(head, batch_of(whole, parity.expected("forward")["batchN_cells"])), z["logits_bN"])


@pytest.mark.parametrize("kind", ["b1", "bN"])
def test_three_adam_steps_by_the_official_rule(parity, made_with, kind):
    z = parity.expected("train")
    made = made_with(FINETUNED, stabilizer=STABILIZER[kind])
    network, head = made.network, checkpoint.load_head(parity.folder, made.network, FINETUNED)
    trains = network.finetune_rule()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trains(name))
    named = {f"encoder.{official_name(n)}": p for n, p in network.named_parameters() if p.requires_grad}
    back = {ours: theirs for theirs, ours in checkpoint.HEADS.items()}
    for name, parameter in head.named_parameters():
        part, _, rest = f"head.{name}".rpartition(".")
        named[back[f"{part}."] + rest] = parameter
    assert sorted(named) == sorted(z["param_names"])
    parameters = [named[str(name)] for name in z["param_names"]]
    before = [p.detach().clone() for p in parameters]
    batch, labels = batch_of(made, z["cells"]), torch.from_numpy(z["labels"]).long()
    weight = class_weights(labels, len(z["class_weight"]))
    close(weight, z["class_weight"])
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    network.train(), head.train()
    losses = []
    for step in range(4):
        loss = F.cross_entropy(network.logits(head, batch), labels, weight=weight)
        losses.append(float(loss.detach()))
        if step == 3:
            break
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            close([float(p.grad.norm()) for p in parameters], z[f"grad_norm_step1_{kind}"], atol=1e-7, rtol=1e-3)
        optimizer.step()
    close(losses, z[f"loss_{kind}"], atol=1e-5, rtol=0)
    norms = np.array([float(p.detach().double().norm()) for p in parameters])
    close(norms, z[f"param_norm_{kind}"], atol=0, rtol=1e-5)
    moved = [float((p.detach() - b).double().norm()) for p, b in zip(parameters, before, strict=True)]
    close(moved, z[f"param_delta_norm_{kind}"], atol=0, rtol=1e-3)
    close(np.sqrt((norms**2).sum()), z[f"total_norm_{kind}"], atol=0, rtol=1e-5)
    close(network.norm.weight, z[f"norm_weight_{kind}"], rtol=0)
    close(head.fc3.weight, z[f"pred_head7_weight_{kind}"], rtol=0)
