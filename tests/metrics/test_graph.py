from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.metrics import graph
from sceval.metrics.neighbors import knn


def test_connectivities_solve_their_equation():
    indices, distances = knn(np.random.default_rng(0).normal(size=(300, 4)), 15)
    weights = graph.connectivities(indices, distances)
    assert (abs(weights - weights.T)).max() < 1e-6
    assert weights.diagonal().sum() == 0
    # The nearest cell has weight 1 in the directed graph, so in the joined one too.
    assert np.allclose([weights[i, indices[i, 1]] for i in range(300)], 1, atol=1e-6)
    assert weights.data.min() > 0
    assert weights.data.max() <= 1 + 1e-6


def test_label_connectivity_by_hand():
    # 0-1-2 and 3-4 hold together, 5 stands alone; labels: a = 0,1,2  b = 3,4,5.
    edges = (np.array([0, 1, 3]), np.array([1, 2, 4]))
    codes = np.array([0, 0, 0, 1, 1, 1])
    assert np.allclose(graph.label_connectivity(edges, codes, directed=False), [1, 2 / 3])
    # One-way edges make no strong component.
    assert np.allclose(graph.label_connectivity(edges, codes, directed=True), [1 / 3, 1 / 3])


def test_edges_between_labels_do_not_connect():
    edges = (np.array([0, 1]), np.array([1, 2]))
    assert np.allclose(graph.label_connectivity(edges, np.array([0, 1, 0]), directed=False), [0.5, 1])


def test_path_neighbours_by_hand():
    # A line 0-1-2-3 with lengths 1, 0.1, 0.1: a strong link is a long step.
    weights = sparse.csr_matrix(np.array([[0, 1, 0, 0], [1, 0, 0.1, 0], [0, 0.1, 0, 0.1], [0, 0, 0.1, 0]]))
    indices, distances = graph.path_neighbors(weights, 2)
    assert indices[3].tolist() == [2, 1]
    assert np.allclose(distances[0], [1, 1.1])


def test_path_neighbours_with_a_limit_equal_those_without():
    X = np.random.default_rng(3).normal(size=(700, 3))
    X[650:] += 50  # a part of 50 cells that cannot reach 90 others
    weights = graph.connectivities(*knn(X, 15))
    indices, distances = graph.path_neighbors(weights, 90)
    full = sparse.csgraph.dijkstra(weights.astype(float))
    np.fill_diagonal(full, np.inf)
    assert np.allclose(distances[:650], np.sort(full, axis=1)[:650, :90])
    assert (indices[650:, -1] == -1).all()
    assert np.isinf(distances[650:, 49:]).all()
    assert np.isfinite(distances[650:, :49]).all()
