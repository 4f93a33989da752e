from __future__ import annotations

import numpy as np
import pytest

from sceval.training.batching import (
    bucketed_batches,
    holdout_split,
    length_buckets,
    pure_batches,
    shuffled_batches,
    split_evenly,
)

ROWS = np.arange(3, 104)
CODES = np.random.default_rng(0).integers(0, 4, 110)


@pytest.mark.parametrize("size", [1, 7, 32, 500])
@pytest.mark.parametrize("epoch", [0, 3])
def test_an_epoch_sees_each_cell_exactly_once(size, epoch):
    for batches in (
        shuffled_batches(ROWS, size, seed=1, epoch=epoch),
        pure_batches(ROWS, CODES, size, seed=1, epoch=epoch),
    ):
        np.testing.assert_array_equal(np.sort(np.concatenate(batches)), ROWS)
        assert max(map(len, batches)) <= size


def test_epochs_and_seeds_differ_and_repeat():
    def order(seed, epoch):
        return np.concatenate(shuffled_batches(ROWS, 8, seed=seed, epoch=epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_pure_batches_hold_one_code_each_and_mix_their_order():
    batches = pure_batches(ROWS, CODES, 8, seed=1, epoch=0)
    codes = [set(CODES[b]) for b in batches]
    assert all(len(c) == 1 for c in codes)
    sequence = [c.pop() for c in codes]
    assert sequence != sorted(sequence)


def test_no_tiny_rest_is_left():
    assert [len(p) for p in split_evenly(np.arange(65), 64)] == [33, 32]
    assert split_evenly(np.arange(0), 4) == []
    with pytest.raises(ValueError, match="at least 1"):
        split_evenly(np.arange(4), 0)


def test_buckets_hold_each_cell_once_and_keep_lengths_together():
    lengths = np.random.default_rng(1).integers(1, 900, 200)
    buckets = length_buckets(lengths, 16, max_tokens=4000)
    np.testing.assert_array_equal(np.sort(np.concatenate(buckets)), np.arange(200))
    assert all(len(b) == 1 or len(b) * lengths[b].max() <= 4000 for b in buckets)
    padded = sum(len(b) * lengths[b].max() for b in buckets)
    assert padded < 1.2 * lengths.sum()
    codes = np.arange(200) % 3
    pure = length_buckets(lengths, 16, codes=codes)
    np.testing.assert_array_equal(np.sort(np.concatenate(pure)), np.arange(200))
    assert all(len(set(codes[b])) == 1 for b in pure)


def test_validation_is_stratified_and_leaves_every_class_in_training():
    strata = np.array([0] * 60 + [1] * 30 + [2])
    train, held = holdout_split(np.arange(91), 0.1, seed=0, strata=strata)
    assert np.bincount(strata[held], minlength=3).tolist() == [6, 3, 0]
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(91))
    assert len(holdout_split(np.arange(5), 0.1, seed=0, strata=np.arange(5))[1]) == 1
    assert len(holdout_split(np.arange(5), 0.0, seed=0)[1]) == 0
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        holdout_split(np.arange(5), 1.0, seed=0)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_length_buckets_of_an_epoch_hold_each_cell_once_in_changing_company(size):
    rows, lengths = np.arange(10, 110), np.random.default_rng(0).integers(1, 1000, 200)
    first, second = (bucketed_batches(rows, lengths, size, seed=0, epoch=epoch) for epoch in range(2))
    for batches in (first, second):
        assert sorted(np.concatenate(batches)) == list(rows)
        assert max(map(len, batches)) <= size
    assert [list(b) for b in first] != [list(b) for b in second]
    again = bucketed_batches(rows, lengths, size, seed=0, epoch=0)
    assert [list(b) for b in again] == [list(b) for b in first]
    padded = sum(len(b) * lengths[b].max() for b in first)
    plain = sum(len(b) * lengths[b].max() for b in shuffled_batches(rows, size, seed=0, epoch=0))
    assert padded <= plain
