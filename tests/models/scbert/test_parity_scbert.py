"""scBERT against the official code's numbers (../shared/parity/scbert)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sceval.models.performer.keys import official_name
from sceval.models.performer.values import log2_normalize, reorder
from sceval.models.scbert import checkpoint
from sceval.models.scbert.network import MASK, predict_tokens, token_loss
from sceval.models.scbert.tokens import OFFICIAL_MIN_GENES

STABILIZER = {"b1": "cell", "bN": "batch", "bM": "batch"}


def close(actual, expected, atol=2e-5, rtol=1e-4):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)


def batch_of(made, rows):
    return {name: torch.from_numpy(array) for name, array in made.tokens.batch(rows).items()}


def residuals(network, batch):
    """Input of block 0 and residual stream after each block."""
    inputs = network.inputs(batch)
    stream = [network.embed(inputs)]
    for block in network.layers:
        stream.append(block(stream[-1], inputs.real, inputs.weight))
    return stream


def test_tokens(parity, official):
    z, made = parity.expected("tokens"), official()
    assert list(made.vocabulary.genes) == list(z["ref_genes"])
    ids = made.vocabulary.lookup(parity.genes)
    present = np.zeros(len(made.vocabulary), bool)
    present[ids[ids >= 0]] = True
    np.testing.assert_array_equal(present, z["ref_present"])
    np.testing.assert_array_equal(made.tokens.expressed, z["n_ref_genes_expressed"])
    first = log2_normalize(reorder(parity.counts[:6], ids, len(made.vocabulary))).toarray()
    close(first, z["lognorm_first6"])
    every = made.tokens.batch(np.arange(len(parity.cells)))
    np.testing.assert_array_equal(every["tokens"], z["tokens"])
    assert "positions" not in every
    np.testing.assert_array_equal(official(min_genes=OFFICIAL_MIN_GENES).tokens.usable, z["kept"])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["b1", "bN"])
def test_residual_stream(parity, official, kind):
    z = parity.expected("forward")
    made = official(stabilizer=STABILIZER[kind])
    rows = z["batchN_cells"] if kind == "bN" else z["h_cells"]
    stream = residuals(made.network, batch_of(made, rows))
    if kind == "b1":
        close(stream[0], z["h_embed_b1"])
        close(made.network.token_logits(made.network.hidden(batch_of(made, rows))), z["lm_logits_b1"])
    close(stream[1][:2], z[f"h_block0_{kind}"])
    close(stream[-1][:2], z[f"h_lastblock_{kind}"])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["b1", "bN"])
def test_encodings(parity, official, kind):
    z = parity.expected("forward")
    made = official(stabilizer=STABILIZER[kind])
    close(made.network.hidden(batch_of(made, z["batchN_cells"]))[:3], z[f"enc_{kind}"])


@torch.no_grad()
@pytest.mark.parametrize(("pool", "name"), [("all", "emb_mean_all"), ("genes", "emb_mean_genes"), ("last", "emb_last")])
@pytest.mark.parametrize("kind", ["b1", "bN", "bM"])
def test_cell_vectors(parity, official, pool, name, kind):
    z = parity.expected("forward")
    if f"{name}_{kind}" not in z:
        assert (pool, kind) == ("genes", "bM")
        return
    made = official(stabilizer=STABILIZER[kind], pool=pool)
    rows = np.arange(len(parity.cells)) if kind == "b1" else z[f"batch{kind[1]}_cells"]
    close(made.network.encode(batch_of(made, rows)), z[f"{name}_{kind}"])


@torch.no_grad()
def test_masked_tokens(parity, official):
    z = parity.expected("mlm")
    tokens, labels = (torch.from_numpy(z[name]).long() for name in ("masked_input", "labels"))
    whole = official(stabilizer="batch").network
    logits = whole.token_logits(whole.hidden({"tokens": tokens}))
    close(logits[:2], z["logits_bN_first2"])
    close(token_loss(logits, labels), z["loss_bN"], atol=1e-5)
    np.testing.assert_array_equal(predict_tokens(logits), z["pred_bN"])
    single = official().network
    alone = single.token_logits(single.hidden({"tokens": tokens}))
    close([float(token_loss(x[None], y[None])) for x, y in zip(alone, labels, strict=True)], z["loss_b1"], atol=1e-5)
    np.testing.assert_array_equal((labels != MASK).sum(1), z["n_labels"])


@torch.no_grad()
def test_classifier(parity, official):
    z = parity.expected("head")
    made = official("finetune_best.pth")
    assert set(made.report.new) >= {"to_out.weight", "to_out.bias"}
    assert not any(name.startswith(("performer.layers", "norm", "token_emb")) for name in made.report.new)
    head = checkpoint.load_head(parity.folder, made.network, "finetune_best.pth")
    classes = checkpoint.read_label_dict(parity.folder / "label_dict")
    assert classes == list(z["classes"])
    batch = batch_of(made, z["cells_b1"])
    logits = made.network.logits(head, batch)
    close(logits, z["logits_b1"])
    close(logits.softmax(1), z["prob_b1"])
    np.testing.assert_array_equal(np.array(classes)[logits.argmax(1)], z["pred_b1"])
    inputs = made.network.inputs(batch)
    slots = head.slots(head.positions(made.network.hidden(batch)), made.network.slots(inputs))
    first, second = head.hidden_layers(slots)
    close(first, z["fc1_relu_b1"])
    close(second, z["fc2_relu_b1"])
    rows = parity.expected("forward")["h_cells"]
    close(head.positions(made.network.hidden(batch_of(made, rows))), z["conv_relu_h_cells"])
    whole = official("finetune_best.pth", stabilizer="batch")
    batch = batch_of(whole, parity.expected("forward")["batchN_cells"])
    close(whole.network.logits(head, batch), z["logits_bN"])


@torch.no_grad()
def test_short_sequence_at_the_wrong_positions_as_the_study_fed_it(parity, official):
    z = parity.expected("sceval_hvg")
    made = official()
    every = made.tokens.batch(z["cells"])["tokens"]
    np.testing.assert_array_equal(every[:, np.append(z["hvg_index"], -1)], z["tokens"])
    close(made.network.hidden({"tokens": torch.from_numpy(z["tokens"]).long()}), z["enc_b1"])


@pytest.mark.parametrize("kind", ["b1", "bN"])
def test_three_adam_steps_by_the_official_rule(parity, official, kind):
    z = parity.expected("train")
    made = official("finetune_best.pth", stabilizer=STABILIZER[kind])
    network, head = made.network, checkpoint.load_head(parity.folder, made.network, "finetune_best.pth")
    trains = network.finetune_rule()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trains(name))
    named = {official_name(n): p for n, p in network.named_parameters() if p.requires_grad}
    back = {ours: theirs for theirs, ours in checkpoint.HEADS.items()}
    for name, parameter in head.named_parameters():
        part, _, rest = f"head.{name}".rpartition(".")
        named[back[f"{part}."] + rest] = parameter
    assert sorted(named) == sorted(z["param_names"])
    parameters = [named[str(name)] for name in z["param_names"]]
    before = [p.detach().clone() for p in parameters]
    batch, labels = batch_of(made, z["cells"]), torch.from_numpy(z["labels"])
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    network.train(), head.train()
    losses = []
    for step in range(4):
        loss = F.cross_entropy(network.logits(head, batch), labels)
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
    close(head.fc3.weight, z[f"fc3_weight_{kind}"], rtol=0)
