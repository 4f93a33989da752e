from __future__ import annotations

import numpy as np
import pytest

from sceval.data import splits


def _labels(**counts: int) -> np.ndarray:
    names = [name for name, count in counts.items() for _ in range(count)]
    labels = np.array([None if name == "missing" else name for name in names], object)
    return labels[np.random.default_rng(7).permutation(len(labels))]


def _count(part: np.ndarray, labels: np.ndarray, name: str | None) -> dict[str, int]:
    rows = np.array([label == name for label in labels])
    return {key: int(np.sum(rows & (part == key))) for key in ("train", "validation", "test")}


def test_intra_is_70_to_30_inside_each_class_with_validation_in_the_training_part():
    labels = _labels(a=100, b=50, c=10)
    part = splits.intra(labels, 0)
    assert _count(part, labels, "a") == {"train": 63, "validation": 7, "test": 30}
    assert _count(part, labels, "b")["test"] == 15
    assert _count(part, labels, "c")["test"] == 3
    assert int((part == "test").sum()) == 48
    assert 10 <= int((part == "validation").sum()) <= 12  # a tenth of the 112 that are not test


def test_every_class_keeps_a_training_cell_and_missing_labels_are_never_test():
    labels = _labels(a=40, single=1, pair=2, missing=30)
    for seed in range(20):
        part = splits.intra(labels, seed)
        assert _count(part, labels, "single") == {"train": 1, "validation": 0, "test": 0}
        assert _count(part, labels, "pair")["train"] >= 1
        assert _count(part, labels, None) == {"train": 30, "validation": 0, "test": 0}


def test_many_single_cells_take_nothing_from_the_next_class():
    labels = _labels(**{f"a{i:02d}": 1 for i in range(60)}, big=10)
    part = splits.intra(labels, 0)
    assert _count(part, labels, "big")["test"] in (3, 4)  # and not 9: what the single cells could not give


def test_fractions_are_carried_so_that_small_classes_still_give_their_share():
    labels = _labels(**{f"a{i:02d}": 2 for i in range(50)})
    assert abs(int((splits.intra(labels, 0) == "test").sum()) - 30) <= 1


def test_seeds_repeat_and_differ():
    labels = _labels(a=60, b=40)
    assert np.array_equal(splits.intra(labels, 3), splits.intra(labels, 3))
    assert not np.array_equal(splits.intra(labels, 3), splits.intra(labels, 4))
    batches = np.array([f"b{i % 6}" for i in range(100)], object)
    held = {tuple(splits.inter(labels, batches, seed)[1]) for seed in range(10)}
    assert len(held) > 1
    assert splits.inter(labels, batches, 2)[1] == splits.inter(labels, batches, 2)[1]


def test_inter_holds_out_whole_batches_that_make_at_least_the_test_share():
    labels = _labels(a=120, b=80)
    batches = np.array([f"b{i % 5}" for i in range(200)], object)
    for seed in range(5):
        part, held = splits.inter(labels, batches, seed)
        for name in set(batches):
            assert set(part[batches == name]) <= ({"test"} if name in held else {"train", "validation"})
        share = np.mean(part == "test")
        assert splits.TEST_SHARE <= share <= splits.LARGEST_TEST_SHARE
        assert (part == "validation").any()


def test_inter_does_not_hold_out_a_batch_that_is_nearly_everything():
    labels = _labels(a=50, b=50)
    batches = np.array(["large"] * 90 + ["small"] * 10, object)
    for seed in range(10):
        part, held = splits.inter(labels, batches, seed)
        assert held == ["small"]
        assert int((part == "test").sum()) == 10


def test_inter_wants_two_batches():
    with pytest.raises(ValueError, match=r"only one \(lane1\)"):
        splits.inter(_labels(a=5), np.full(5, "lane1", object), 0)


def test_a_query_is_the_test_part():
    labels = _labels(a=40, b=30, missing=10)
    is_query = np.arange(80) >= 50
    part = splits.from_query(labels, is_query, 0)
    assert np.array_equal(part == "test", is_query)
    assert (part[~is_query] == "validation").any()
    known = np.array([label is not None for label in labels])
    assert not (part[~known] == "validation").any()
