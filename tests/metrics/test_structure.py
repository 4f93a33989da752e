"""Structure beside the scIB scores: hand-made answers, nulls near 0, islands caught."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.metrics import graph_output, registry, structure
from sceval.metrics.integration import IDS, IntegrationScorer
from sceval.metrics.neighbors import knn
from sceval.metrics.scgraph import Consensus
from sceval.metrics.space import Space
from sceval.metrics.structure import MEMBER, NOT_ASKED, StructureScorer, intra_type, participation, r_nx, two_nn

BESIDE = ("corrected_s_bio", "corrected_s_batch", "corrected_s_final")


@pytest.fixture(scope="module")
def cells():
    """Four types on a line at 0, 1, 3 and 8, each with structure of its own, in two batches that are moved apart."""
    rng = np.random.default_rng(0)
    label, batch = np.repeat(np.arange(4), 60), np.tile([0, 1], 120)
    own = rng.normal(0, 1, (240, 5)) * [1, 0.8, 0.6, 0.4, 0.2]
    own[:, 0] += np.array([0, 6, 18, 48])[label]
    raw = np.full((240, 50), NOT_ASKED)
    for name in (0, 1):
        rows = np.flatnonzero(batch == name)
        raw[rows[:, None], np.arange(40)] = rows[knn(own[rows], 41)[0][:, 1:]]
    moved = own + np.where(batch == 1, 30.0, 0.0)[:, None]
    return own, raw, batch, label, moved


def _islands(label, rng):
    return np.eye(4)[label] + rng.normal(0, 0.01, (len(label), 4))


def test_ids_are_declared_in_their_order():
    declared = [m.id for m in registry.for_task("batch_integration")]
    assert declared == [*IDS, *structure.IDS, *BESIDE, *graph_output.IDS]


def test_neighbourhoods_inside_batches_do_not_see_a_batch_effect(cells):
    own, raw, batch, label, moved = cells
    assert r_nx(own, raw, batch) == pytest.approx(1.0)
    assert r_nx(moved, raw, batch) == pytest.approx(1.0)
    noise = np.random.default_rng(1).normal(size=own.shape)
    assert abs(np.mean(r_nx(noise, raw, batch))) < 0.03
    assert intra_type(moved, own, batch, label) == pytest.approx(1.0)
    assert abs(np.nanmean(intra_type(_islands(label, np.random.default_rng(2)), own, batch, label))) < 0.1


def test_r_nx_against_its_definition_in_a_loop(cells):
    own, raw, batch, _, _ = cells
    X = own + np.random.default_rng(3).normal(0, 0.5, own.shape)
    found = r_nx(X, raw, batch)
    members, cell = np.flatnonzero(batch == 1), 1
    order = members[np.argsort(np.linalg.norm(X[members] - X[cell], axis=1))][1:]
    n, total, weights = len(members), 0.0, 0.0
    for k in range(1, 41):
        q = len(set(order[:k]) & set(raw[cell, :k])) / k
        total += ((n - 1) * q - k) / (n - 1 - k) / k
        weights += 1 / k
    assert found[cell] == pytest.approx(total / weights)


def test_cells_that_were_not_asked_have_no_value_and_only_members_are_searched(cells):
    own, raw, batch, _, _ = cells
    part = raw.copy()
    part[::4] = MEMBER
    found = r_nx(own, part, batch)
    assert np.isnan(found[::4]).all()
    assert found[1::4] == pytest.approx(1.0)
    assert np.isnan(r_nx(own, np.full_like(raw, NOT_ASKED), batch)).all()


def test_scgraph_sees_distances_between_types(cells):
    own, _, batch, label, moved = cells
    consensus = Consensus(own, batch, label)
    assert consensus.value(own, label) == pytest.approx(1.0, abs=0.01)
    assert consensus.value(moved, label) > 0.95
    reverse = own.copy()
    reverse[:, 0] = np.array([0, 48, 6, 18])[label]
    assert consensus.value(reverse, label) < 0.7
    assert abs(consensus.value(_islands(label, np.random.default_rng(0)), label)) < 0.8
    small = Consensus(own[:40], batch[:40], label[:40])
    assert np.isnan(small.value(own[:40], label[:40]))
    assert "scGraph undefined" in small.findings[0]


def test_dimensions_are_those_of_noise_at_one():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(600, 8))
    assert participation(noise) == pytest.approx(1.0, abs=0.05)
    line = np.outer(rng.normal(size=600), np.ones(8)) + rng.normal(0, 1e-3, (600, 8))
    assert participation(line) == pytest.approx(0.0, abs=0.01)
    assert participation(noise * 1e8) == pytest.approx(participation(noise))
    assert np.isnan(participation(noise[:, :1]))
    flat = np.zeros((600, 8))
    flat[:, :2] = rng.uniform(size=(600, 2))
    logs = two_nn(flat)
    assert len(logs) / logs.sum() == pytest.approx(2.0, abs=0.25)
    assert np.isnan(two_nn(np.zeros((5, 2)))).all()


def test_the_scorer_gives_islands_clusters_and_no_structure(cells):
    own, raw, batch, label, _ = cells
    values = {}
    for name, X in (("own", own), ("islands", _islands(label, np.random.default_rng(0)))):
        scorer = StructureScorer(IntegrationScorer(X, batch, label.astype(str)), own, raw)
        values[name] = scorer.values()
        assert tuple(values[name]) == structure.IDS
        again = scorer.replicate(np.ones(240, bool))
        assert all(again[key] == pytest.approx(value, nan_ok=True) for key, value in values[name].items())
        half = scorer.replicate(np.arange(240) % 3 > 0)
        assert half["nmi_fixed"] == pytest.approx(values[name]["nmi_fixed"], abs=0.1)
    assert values["islands"]["nmi_fixed"] > 0.6
    for name in ("intra_type", "rnx"):
        assert values["islands"][name] < 0.6 < values["own"][name]


def test_a_graph_scores_as_the_embedding_that_it_came_from(cells):
    own, _, batch, label, _ = cells
    graph = Space(own).graph(15)
    found = graph_output.graph_values(graph_output.as_graph(graph), batch, label)
    scorer = IntegrationScorer(own, batch, label.astype(str))
    wanted = scorer.values()
    for name, standard in graph_output.STANDARD.items():
        assert found[name] == pytest.approx(wanted[standard], abs=0.02), name
    directed = sparse.triu(graph).tolil()
    directed.setdiag(5.0)
    again = graph_output.graph_values(graph_output.as_graph(directed.tocsr()), batch, label)
    assert again == pytest.approx(found)
    one = graph_output.graph_values(graph_output.as_graph(graph), np.zeros(240, int), label)
    assert np.isnan(one["graph_ilisi"])
    some = label.copy()
    some[::3] = -1
    assert graph_output.graph_values(graph_output.as_graph(graph), batch, some)["graph_nmi"] > 0.6
