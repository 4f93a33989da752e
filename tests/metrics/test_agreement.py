from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from sceval.metrics.agreement import ari, best_f1, contingency, nmi


@pytest.mark.parametrize("sizes", [(5, 3), (1, 4), (4, 1), (1, 1), (40, 40)])
def test_against_scikit_learn(sizes):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, size, 200) for size in sizes)
    table = contingency(a, b)
    assert nmi(table) == pytest.approx(sk.normalized_mutual_info_score(b, a), abs=1e-12)
    assert ari(table) == pytest.approx(sk.adjusted_rand_score(b, a), abs=1e-12)


def test_by_hand():
    table = contingency([0, 0, 1, 1], [0, 0, 1, 1])
    assert nmi(table) == pytest.approx(1)
    assert ari(table) == 1
    # Cluster 0 holds 2 of the 3 cells of label 0 and one other: F1 = 2 * 2 / (3 + 3).
    assert best_f1(contingency([0, 0, 0, 1], [0, 0, 1, 0]), 0) == pytest.approx(4 / 6)
    assert np.isnan(best_f1(contingency([0, 1], [0, 0]), 3))


def test_weights_equal_copies_and_leaving_out():
    rng = np.random.default_rng(1)
    a, b, w = rng.integers(0, 4, 60), rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    copied = contingency(np.repeat(a, w), np.repeat(b, w))
    assert np.array_equal(contingency(a, b, w)[: len(copied), : copied.shape[1]], copied)
    assert ari(contingency(a, b, w)) == pytest.approx(ari(copied))
