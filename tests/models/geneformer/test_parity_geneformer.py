"""Geneformer against the official code's numbers (../shared/parity/geneformer), within the tolerances given there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sceval.models.geneformer.checkpoint import load, load_classifier
from sceval.models.geneformer.extract import TokenMeans
from sceval.models.geneformer.keys import official_name
from sceval.models.geneformer.network import IGNORED
from sceval.models.geneformer.tokens import rank_values, ranked, tokenize

STATES = {"atol": 5e-5, "rtol": 1e-4}


def close(actual, expected, **tolerance):
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else actual
    np.testing.assert_allclose(actual, expected, **{"rtol": 0, "atol": 0, "equal_nan": False, **tolerance})


def tensors(batch):
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


def tokens_of(parity, vocabulary):
    return tokenize(parity.counts, parity.genes, parity.cells, vocabulary, {}, 0)


def batch_of(ids):
    """A mini-batch of the fixture's padded ids."""
    ids = ids.astype(np.int64)
    return tensors({"input_ids": ids, "attention_mask": ids != 0})


def cell_vectors(parity, folder, batch_size=7, **settings):
    loaded = load(folder, settings, 0)
    tokens = tokens_of(parity, loaded.vocabulary)
    rows = parity.expected("tokens")["cell_row"]
    with torch.no_grad():
        parts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        return torch.cat([loaded.network.encode(tensors(tokens.batch(part))) for part in parts])


def test_tokens(parity):
    expected = parity.expected("tokens")
    loaded = load(parity.model, {}, 0)
    tokens = tokens_of(parity, loaded.vocabulary)
    rows = expected["cell_row"]
    np.testing.assert_array_equal(np.flatnonzero(tokens.usable), rows)
    assert set(range(len(parity.cells))) - set(rows) == set(parity.meta["dropped_input_rows"])
    np.testing.assert_array_equal(tokens.lengths[rows], expected["length"])
    np.testing.assert_array_equal(tokens.full[rows], expected["n_genes"])
    np.testing.assert_array_equal(tokens.batch(rows)["input_ids"], expected["input_ids"])


def test_rank_values(parity):
    expected = parity.expected("tokens")
    vocabulary = load(parity.model, {}, 0).vocabulary
    ids, medians = vocabulary.lookup(parity.genes), vocabulary.medians
    found = {row: tokens for row, tokens, _ in ranked(parity.counts, ids, medians)}
    values = rank_values(parity.counts, ids, medians, parity.totals)
    for i, row in enumerate(expected["cell_row"]):
        n = expected["n_genes"][i]
        np.testing.assert_array_equal(found[row], expected["ids_untruncated"][i, :n])
        close(values[row], expected["rank_value"][i, :n], rtol=1e-6)
        close(values[row] * medians[found[row]], expected["norm_count"][i, :n], rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "pooling", "emb_layer"),
    [
        ("cell_mean_second_last", "cell", -1),
        ("cell_mean_last", "cell", 0),
        ("cls_second_last", "cls", -1),
        ("cls_last", "cls", 0),
    ],
)
def test_cell_vectors(parity, array, pooling, emb_layer):
    if pooling == "cls" and parity.style == "v1":
        with pytest.raises(ValueError, match="needs a <cls> token"):
            load(parity.model, {"pooling": pooling}, 0)
        return
    expected = parity.expected("embeddings")[array]
    close(cell_vectors(parity, parity.model, pooling=pooling, emb_layer=emb_layer), expected, **STATES)


def test_default_cell_vectors_are_the_extractors(parity):
    """V1: mean of the second-to-last layer; V2: cls of it. Rows are in input order, not the extractor's."""
    name = "cls_second_last" if parity.style == "v2" else "cell_mean_second_last"
    vectors, expected = cell_vectors(parity, parity.model), parity.expected("embeddings")
    close(vectors, expected[name], **STATES)
    order = expected["extractor_order"]
    np.testing.assert_array_equal(order, np.argsort(-parity.expected("tokens")["length"], kind="stable"))


@pytest.mark.parametrize("gene_names", ["resolved", "exact"])
def test_the_shared_verb_gives_the_same_vectors(parity, gene_names):
    """With default settings, whatever the names of genes go through on their way to the tokenizer."""
    from sceval.models.geneformer.program import MODEL
    from sceval.models.transformer.embed import embed_cells
    from sceval.models.transformer.session import Session

    session = Session.of_arrays(
        *(MODEL, "embed-cells", "zero_shot", parity.counts, parity.genes, parity.cells),
        weights=parity.model,
        given={"gene_names": gene_names},
    )
    X = embed_cells(session)
    rows = parity.expected("tokens")["cell_row"]
    name = "cls_second_last" if parity.style == "v2" else "cell_mean_second_last"
    close(X[rows], parity.expected("embeddings")[name], **STATES)
    assert np.isnan(np.delete(X, rows, axis=0)).all()


def test_cell_vectors_from_a_classifier(parity):
    vectors = cell_vectors(parity, parity.classifier, pooling="cell", emb_layer=0)
    close(vectors, parity.expected("embeddings")["cell_mean_last_from_classifier"], **STATES)


@torch.no_grad()
def test_gene_vectors(parity):
    expected = parity.expected("embeddings")
    loaded = load(parity.model, {}, 0)
    tokens = tokens_of(parity, loaded.vocabulary)
    # The official mode counts cls and eos as genes, so ids of all tokens go in.
    means = TokenMeans(loaded.network.config.n_tokens, loaded.network.config.width)
    genes = TokenMeans(loaded.network.config.n_tokens, loaded.network.config.width)
    for part in np.array_split(parity.expected("tokens")["cell_row"], 5):
        batch = tensors(tokens.batch(part))
        x, ids = loaded.network.contextual(batch)
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"], dtype=torch.bool))
        means.add(x.numpy(), batch["input_ids"].masked_fill(~mask, -1).numpy())
        genes.add(x.numpy(), ids.numpy())
    np.testing.assert_array_equal(np.flatnonzero(means.cells), expected["gene_tokens"])
    close(means.mean()[expected["gene_tokens"]], expected["gene_mean_second_last"], **STATES)
    specials = [i for i in (loaded.vocabulary.cls_id, loaded.vocabulary.eos_id) if i is not None]
    np.testing.assert_array_equal(np.flatnonzero(genes.cells), np.setdiff1d(expected["gene_tokens"], specials))


@torch.no_grad()
def test_hidden_states(parity):
    expected = parity.expected("forward")
    loaded = load(parity.model, {}, 0)
    tokens = tokens_of(parity, loaded.vocabulary)
    batch = tensors(tokens.batch(parity.expected("tokens")["cell_row"][expected["h_rows"]]))
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"], dtype=torch.bool))
    states = loaded.network.hidden_states(batch)
    assert len(states) == parity.meta["num_hidden_layers"] + 1
    for name, layer in (("h_embed", 0), ("h_layer1", 1), ("h_second_last", -2), ("h_last", -1)):
        close(states[layer] * mask[..., None], expected[name], **STATES)
    first = {name: value[:1] for name, value in batch.items()}
    logits = loaded.network.masked_logits(first, mask[:1])
    close(logits, expected["mlm_head_logits_first"][: len(logits)], atol=2e-4)


@torch.no_grad()
def test_masked_token_loss(parity):
    expected = parity.expected("mlm")
    network = load(parity.model, {}, 0).network
    labels = torch.from_numpy(expected["labels"].astype(np.int64))
    batch = batch_of(expected["masked_input"])
    loss, terms = network.pretraining_loss({**batch, "labels": labels})
    close(float(loss), float(expected["loss"]), atol=2e-5)
    assert terms["mlm"] == pytest.approx(float(loss))
    for i, each in enumerate(expected["loss_each"]):
        one = {name: value[i : i + 1] for name, value in {**batch, "labels": labels}.items()}
        close(float(network.pretraining_loss(one)[0]), float(each), atol=2e-5)
    close(network.masked_logits(batch, labels != IGNORED), expected["logits_at_labels"], atol=2e-4)


@torch.no_grad()
def test_cell_classifier(parity):
    expected = parity.expected("head")
    loaded, head, names = load_classifier(parity.classifier)
    tokens = tokens_of(parity, loaded.vocabulary)
    assert names == [f"LABEL_{i}" for i in range(parity.meta["n_classes"])]
    rows = parity.expected("tokens")["cell_row"]
    features = torch.cat([loaded.network.features(tensors(tokens.batch([row]))) for row in rows])
    logits = torch.cat([loaded.network.logits(head, tensors(tokens.batch([row]))) for row in rows])
    close(logits, expected["logits"], atol=2e-5)
    close(head.pool(features), expected["pooled"], **STATES)
    np.testing.assert_array_equal(expected["classes"][logits.argmax(1).numpy()], expected["pred"])


def trained(parity, frozen):
    """Three steps as the read-me says: losses, first gradients, tensors before and after (by official name)."""
    expected = parity.expected("train")
    loaded, head, _ = load_classifier(parity.classifier, {"dropout": 0.0, "attention_dropout": 0.0})
    network = loaded.network
    tokens = tokens_of(parity, loaded.vocabulary)
    batch = tensors(tokens.batch(parity.expected("tokens")["cell_row"][expected["rows"]]))
    labels = torch.from_numpy(expected["labels"])
    with torch.no_grad():
        evaluated = network.logits(head, batch)
    network.train(), head.train()
    rule = network.finetune_rule()
    for layer in network.layers[:frozen]:
        layer.requires_grad_(False)
    parameters = {official_name(name): p for name, p in network.named_parameters() if rule(name) and p.requires_grad}
    parameters |= {official_name(f"cell_head.{name}"): p for name, p in head.named_parameters()}
    before = {name: p.detach().clone() for name, p in parameters.items()}
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3)
    losses, gradients = [], {}
    for step in range(4):
        loss = F.cross_entropy(network.logits(head, batch), labels)
        losses.append(float(loss.detach()))
        if step < 3:
            optimizer.zero_grad()
            loss.backward()
            gradients = gradients or {name: p.grad.clone() for name, p in parameters.items()}
            optimizer.step()
    return evaluated, losses, gradients, before, parameters


@pytest.mark.parametrize("frozen", [0, 2])
def test_training_steps(parity, frozen):
    expected = parity.expected("train")
    evaluated, losses, gradients, before, after = trained(parity, frozen)
    labels = torch.from_numpy(expected["labels"])
    close(evaluated, expected["eval_logits_batch"], atol=2e-5)
    close(float(F.cross_entropy(evaluated, labels)), float(expected["eval_loss_batch"]), atol=2e-5)
    close(np.array(losses), expected[f"loss_freeze{frozen}"], atol=2e-5)
    names = [str(name) for name in expected[f"param_names_freeze{frozen}"]]
    assert set(names) == set(after)
    # The gradient of a key bias is zero in exact arithmetic: softmax does not see what all keys share.
    kept = [i for i, name in enumerate(names) if not name.endswith("attention.self.key.bias")]

    def norms(tensors):
        return np.array([float(tensors[names[i]].detach().double().norm()) for i in kept])

    delta = {name: after[name].detach() - before[name] for name in names}
    close(norms(gradients), expected[f"grad_norm_step1_freeze{frozen}"][kept], rtol=1e-3)
    close(norms(delta), expected[f"param_delta_norm_freeze{frozen}"][kept], rtol=1e-3)
    close(norms(after), expected[f"param_norm_freeze{frozen}"][kept], rtol=1e-5)
    total = float(np.sqrt((norms(after) ** 2).sum()))
    close(total, float(expected[f"total_norm_freeze{frozen}"]), rtol=1e-5)
    close(after["classifier.weight"], expected[f"classifier_weight_freeze{frozen}"], atol=2e-5)
