from __future__ import annotations

import numpy as np
import pytest
import torch

from sceval.contract import CellFile
from sceval.models.scgpt.checkpoint import save_checkpoint
from sceval.models.scgpt.edges import attention_ranks, edges


@pytest.fixture
def infer(small, session_of, tmp_path):
    made = small()
    save_checkpoint(tmp_path, made.model, made.vocabulary)

    def call(rows=None, columns=None, regulators=None, **params):
        rows = np.arange(24) if rows is None else rows
        columns = np.arange(30) if columns is None else columns
        symbols = [made.symbols[i] for i in columns]
        cells = [made.cells[i] for i in rows]
        counts = made.counts[rows][:, columns]
        session = session_of("infer-network", "zero_shot", counts, symbols, cells, weights=tmp_path, **params)
        session.gene_ids = np.array(symbols, object)
        view = CellFile(np.array(cells, object), np.array(symbols, object), X=counts)
        if regulators:
            view.uns["network"] = {"regulators": np.array(regulators, object)}
        found = edges(session, view)
        return {(s, t): v for s, t, v in zip(found.source, found.target, found.score, strict=True)}, session

    call.made = made
    return call


@pytest.mark.parametrize("source", ["embedding", "contextual", "attention"])
def test_edges_do_not_depend_on_order_or_batch_size(infer, source):
    first, _ = infer(network_from=source)
    rows, columns = np.random.default_rng(0).permutation(24), np.random.default_rng(1).permutation(30)
    second, _ = infer(rows, columns, network_from=source, batch_size=5)
    assert first.keys() == second.keys()
    assert len(first) == 30 * 29
    away = [abs(first[key] - second[key]) for key in first]
    # Ranks may swap where two products are equal within rounding.
    assert np.quantile(away, 0.95) < (1e-4 if source != "attention" else 1e-2)


def test_cosines_are_those_of_the_table(infer):
    found, _ = infer(network_from="embedding")
    table = infer.made.model.encoder(torch.arange(33)).detach().numpy()
    a, b = table[3], table[8]
    assert found["GENE3", "GENE8"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)


def test_regulators_alone_are_sources_and_edges_can_be_cut(infer):
    found, session = infer(regulators=["GENE1", "GENE2"], network_edges=20)
    assert {source for source, _ in found} <= {"GENE1", "GENE2"}
    assert len(found) == 20
    assert any("20 of 58" in line for line in session.warnings)


def test_ranks_of_attention_by_hand(small):
    made = small(n_cells=1, n_layers=1)
    ids = torch.tensor([[made.vocabulary.cls_id, 4, 7, 9, made.vocabulary.pad_id]])
    values = torch.tensor([[-2.0, 3.0, 9.0, 50.0, -2.0]])
    batch = {"gene_ids": ids, "values": values, "pad_mask": ids == made.vocabulary.pad_id}
    with torch.no_grad():
        ((tokens, ranks),) = attention_ranks(made.model, batch)
        _, total = made.model.embed_inputs(ids, values)
        q, k, _ = made.model.transformer_encoder.layers[0].self_attn.project(total)
    assert tokens.tolist() == [4, 7, 9]
    want = np.zeros((3, 3))
    for head in range(2):
        products = (q[0, head, 1:4] @ k[0, head, 1:4].T).numpy()
        rows = np.array([[sorted(row).index(x) for x in row] for row in products])
        below = (rows[None] < rows[:, None]).sum(1) + ((rows[None] == rows[:, None]).sum(1) + 1) / 2
        want += below / 3 / 2
    np.testing.assert_allclose(ranks, want)
