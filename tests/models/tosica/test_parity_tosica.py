"""TOSICA equals the official code: every array to which the fixture gives a tolerance."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FIXTURE = Path(__file__).resolve().parents[3].parent / "shared" / "parity" / "tosica"

pytestmark = pytest.mark.skipif(
    not (FIXTURE / "expected_forward.npz").is_file(), reason="no ../shared/parity/tosica beside the repository"
)


@pytest.fixture(scope="module")
def forward():
    with np.load(FIXTURE / "expected_forward.npz") as content:
        return {name: content[name] for name in content.files}


@pytest.fixture(scope="module")
def training():
    with np.load(FIXTURE / "expected_training.npz") as content:
        return {name: content[name] for name in content.files}


@pytest.fixture(scope="module")
def cells():
    from sceval.contract import h5ad

    return h5ad.read(FIXTURE / "input.h5ad")


@pytest.fixture(scope="module")
def project():
    from sceval.models.tosica.project import read_project

    return read_project(FIXTURE / "project")


@pytest.fixture(scope="module")
def ours(project, cells):
    """What our network makes of the fixture's cells."""
    import torch

    from sceval.models.tosica.train import predict

    network, x = project.network, torch.from_numpy(cells.X)
    with torch.no_grad():
        linear, tokens = network.feature_embed.fe(x), network.feature_embed(x)
        latent, blocks = network.encode(x, weights=True)
        logits, plain = network.head(latent), network(x)
    return SimpleNamespace(
        linear=linear,
        tokens=tokens,
        latent=latent,
        blocks=blocks,
        logits=logits,
        plain=plain,
        found=predict(network, x),
    )


def close(actual, expected, limit):
    actual = np.asarray(actual, np.float64)
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize(("most", "suffix"), [(300, "_maxgs300"), (12, "")])
def test_mask_and_pathways(forward, cells, most, suffix):
    from sceval.models.tosica.pathways import build_mask, read_gmt

    found = build_mask(list(cells.var_names), read_gmt(FIXTURE / "pathways.gmt"), most=most)
    assert found.names == forward[f"pathway_names{suffix}"].tolist()
    np.testing.assert_array_equal(found.mask, forward[f"pathway_mask{suffix}"])


def test_project_holds_the_same_mask(project, forward):
    np.testing.assert_array_equal(project.pathways.mask, forward["pathway_mask"])
    assert project.pathways.names == forward["pathway_names"].tolist()
    assert project.classes == forward["label_names"].tolist()


def test_forward(forward, ours):
    close(ours.linear, forward["fe_linear"], 1e-5)
    close(ours.tokens, forward["tokens"], 1e-5)
    close(ours.latent, forward["latent"], 3e-5)
    close(ours.found.latent, forward["latent_reported"], 3e-5)
    close(ours.logits, forward["logits"], 3e-5)
    close(ours.plain, forward["logits"], 3e-5)  # the fused attention of training
    close(ours.found.probability, forward["probabilities"], 3e-5)


def test_attention(forward, ours):
    import torch

    close(torch.stack(ours.blocks)[:, :4], forward["block_attention"], 1e-6)
    close(ours.found.attention, forward["attention_all"], 1e-6)
    close(ours.found.attention[:, :-1], forward["attention_reported"], 1e-6)
    assert forward["attention_reported_names"].tolist() == forward["pathway_names"].tolist()[:-1]


def test_gene_weights(forward, project):
    close(project.network.gene_weights(), forward["gene2token"], 1e-6)


def test_labels(forward, ours, project):
    from sceval.models.tosica.train import labels_of

    probability, classes = ours.found.probability, np.array(project.classes, object)
    assert labels_of(probability, classes, 0.1, "Unknown").tolist() == forward["predicted_label"].tolist()
    close(probability.max(axis=1), forward["max_probability"], 3e-5)
    expected = forward["predicted_label_cutoff"].tolist()
    assert labels_of(probability, classes, float(forward["cutoff"]), "Unknown").tolist() == expected


def test_official_split(forward, cells):
    from sceval.models.tosica.reference_data import official_split

    names, codes = np.unique(cells.obs["Celltype"].astype(str), return_inverse=True)
    assert names.tolist() == forward["label_names"].tolist()
    for part, rows in zip(("train", "valid"), official_split(codes, 1), strict=True):
        np.testing.assert_array_equal(rows, forward[f"balanced_{part}_rows"])
        np.testing.assert_array_equal(codes[rows], forward[f"balanced_{part}_labels"])


@pytest.mark.parametrize(("lr", "limit"), [("0.001", 1e-5), ("0.1", 1e-4)])
def test_training(training, cells, lr, limit):
    import torch
    from torch.nn import functional as F

    from sceval.models.tosica.project import read_project
    from sceval.models.tosica.train import optimizer_for
    from sceval.training.loop import optimize_step

    rates = {"dropout": 0.0, "attention_dropout": 0.0, "drop_path": 0.0}
    network = read_project(FIXTURE / "project", **rates).network.train()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    x, labels = torch.from_numpy(cells.X), torch.from_numpy(training["labels"].astype(np.int64))
    optimizer, losses, right = optimizer_for(network, float(lr)), [], 0
    for start in (0, 8, 16):
        logits = network(x[start : start + 8])
        loss = F.cross_entropy(logits, labels[start : start + 8])
        optimize_step(loss, list(network.parameters()), optimizer)
        losses.append(float(loss.detach()))
        right += int((logits.argmax(dim=1) == labels[start : start + 8]).sum())

    expected = {name.removeprefix(f"lr{lr}_"): value for name, value in training.items() if name.startswith(f"lr{lr}_")}
    close(losses, expected["step_losses"], limit)
    close(np.mean(losses), expected["epoch_mean_loss"], limit)
    assert right / 24 == pytest.approx(float(expected["epoch_accuracy"]), abs=1e-6)
    network.eval()
    with torch.no_grad():
        logits = network(x)
    batches = [F.cross_entropy(logits[i : i + 8], labels[i : i + 8]) for i in range(0, len(x), 8)]
    close(np.mean(batches), expected["eval_loss_after"], limit)
    accuracy = float((logits.argmax(dim=1) == labels).float().mean())
    assert accuracy == pytest.approx(float(expected["eval_accuracy_after"]), abs=1e-6)
    close(logits, expected["logits_after"], 3e-5)
    deltas = [name for name in expected if name.startswith("delta__")]
    assert len(deltas) == 8
    after = dict(network.named_parameters())
    for name in deltas:
        own = name.removeprefix("delta__")
        change = (after[own].detach() - before[own]).numpy()
        close(change, expected[name], 1e-3 * np.abs(expected[name]).max())


def test_learning_rate_of_each_epoch(training):
    from sceval.training.optim import cosine

    factor = cosine(10)
    close([1e-3 * factor(epoch) for epoch in range(10)], training["cosine_lr_per_epoch_10"], 1e-9)
