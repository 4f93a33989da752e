from __future__ import annotations

import numpy as np
import torch

from sceval.training.seed import derive_seed, hash_ids, hashed_uniforms, seed_everything

HASH, UNIFORM = 4589785136723539555, 0.06919802701255762


def test_same_seed_gives_new_heads_the_same_weights():
    made = []
    for seed in (3, 3, 4):
        seed_everything(seed)
        made.append((torch.nn.Linear(4, 2).weight.detach().clone(), np.random.rand()))
    assert torch.equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1]
    assert not torch.equal(made[0][0], made[2][0])
    assert made[0][1] != made[2][1]


def test_derived_seeds_differ_by_every_part_of_their_path():
    seeds = {derive_seed(1), derive_seed(2), derive_seed(1, "a"), derive_seed(1, "a", 1), derive_seed(1, "a1")}
    assert len(seeds) == 5
    assert all(0 <= s < 2**63 for s in seeds)


def test_hash_of_an_id_does_not_depend_on_its_neighbors_or_the_process():
    assert hash_ids(["AAACATACAACCAC-1"])[0] == hash_ids(["x", "AAACATACAACCAC-1"])[1]
    # Stored numbers: a result made last year must be made again next year.
    assert int(hash_ids(["cell"])[0]) == HASH
    assert hashed_uniforms(hash_ids(["cell"]), np.array([3]), 1)[0] == UNIFORM


def test_hashed_draws_are_uniform_and_belong_to_cell_and_item():
    keys = hash_ids(range(200))
    draws = hashed_uniforms(keys[:, None], np.arange(300)[None, :], 7)
    assert draws.min() >= 0
    assert draws.max() < 1
    np.testing.assert_allclose(np.histogram(draws, bins=10, range=(0, 1))[0] / draws.size, 0.1, atol=0.01)
    assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(hashed_uniforms(keys[[5]], np.array([9]), 7), draws[5, 9])
    assert (hashed_uniforms(keys, np.arange(200), 8) != hashed_uniforms(keys, np.arange(200), 7)).all()
