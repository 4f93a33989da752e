from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from sceval.models.tosica.network import Tosica, TosicaConfig, rollout
from sceval.models.tosica.pathways import HALLMARK, GmtError, build_mask, read_gmt
from sceval.models.tosica.project import ProjectError, read_project
from sceval.models.tosica.reference_data import balance, official_split, sound_split

GENES = [f"G{i}" for i in range(12)]
SETS = {"A": GENES[:6], "B": GENES[4:12], "small": GENES[:4], "none": ["X", "Y"]}


def network(layout="aligned", **sizes):
    torch.manual_seed(0)
    mask = build_mask(GENES, SETS).mask
    return Tosica(mask, TosicaConfig(12, mask.shape[1], 3, width=8, layout=layout, **sizes)).eval()


def test_small_sets_are_dropped_and_the_largest_kept():
    every = build_mask(GENES, SETS)
    assert (every.names, every.unannotated) == (["A", "B", "node 0"], 1)
    assert every.mask.sum(axis=0).tolist() == [6, 8, 12]
    assert build_mask(GENES, SETS, most=2).names == ["B", "node 0"]
    assert build_mask(GENES, SETS, unannotated=0).names == ["A", "B"]


def test_gene_sets_that_come_with_the_package_are_found():
    sets = read_gmt(HALLMARK)
    assert len(sets) == 50
    assert "JUNB" in sets["HALLMARK_TNFA_SIGNALING_VIA_NFKB"]
    assert (HALLMARK.parent / "SOURCES.md").is_file()


def test_unreadable_gene_sets_are_told_by_line(tmp_path):
    (tmp_path / "bad.gmt").write_text("A\tx\tG1\nno tabulator here\n")
    with pytest.raises(GmtError, match=r"bad\.gmt, line 2"):
        read_gmt(tmp_path / "bad.gmt")
    (tmp_path / "bad.gmt.gz").write_bytes(gzip.compress(b"A\tx\tG1\n" * 99)[:20])
    for name in ("absent.gmt", "bad.gmt.gz"):
        with pytest.raises(GmtError, match="cannot be read"):
            read_gmt(tmp_path / name)


@pytest.mark.parametrize(("layout", "alone"), [("aligned", True), ("official", False)])
def test_only_the_aligned_token_depends_on_its_pathway_alone(layout, alone):
    model = network(layout)
    x = torch.rand(4, 12)
    other = x.clone()
    other[:, 6:] += 1  # genes that pathway A does not hold
    with torch.no_grad():
        same = torch.allclose(model.feature_embed(x)[:, 0], model.feature_embed(other)[:, 0])
    assert same is alone


def test_both_attentions_agree_and_rollout_is_a_distribution():
    model = network()
    x = torch.rand(5, 12)
    with torch.no_grad():
        latent, attention = model.encode(x, weights=True)
        assert torch.allclose(model.head(latent), model(x), atol=1e-6)
    share = rollout(attention)
    assert share.shape == (5, 3)
    assert ((share > 0) & (share < 1)).all()
    assert (share.sum(dim=1) < 1).all()  # the rest is the cls token's own
    with pytest.raises(ValueError, match="without blocks"):
        rollout([])


def test_gradient_keeps_out_of_the_mask():
    model = network()
    model(torch.rand(6, 12)).square().sum().backward()
    linear = model.feature_embed.fe
    assert linear.weight.grad[linear.mask == 0].abs().max() == 0
    assert linear.weight.grad[linear.mask == 1].abs().max() > 0


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="not divisible"):
        TosicaConfig(12, 3, 2, width=10, n_heads=4)
    with pytest.raises(ValueError, match="expected 12 genes x 5 tokens"):
        Tosica(np.ones((12, 3)), TosicaConfig(12, 5, 2))


def test_validation_cells_never_train_in_the_sound_split():
    codes = np.repeat([0, 1, 2], [40, 10, 3])
    for validation in (None, np.arange(53) % 5 == 0):
        train, held = sound_split(codes, validation, 0.2, 0)
        assert not set(train) & set(held)
        assert len(set(held)) == len(held) > 0
        assert len(set(np.bincount(codes[train]))) == 1
    train, held = official_split(codes, 0)
    assert set(train) & set(held)  # the leak that the official code has
    assert len(train) == int(0.7 * 120)


def test_balance_draws_each_class_from_its_own_rows():
    codes = np.array([1, 0, 1, 1, 0, 1])
    rows = balance(codes, np.random.default_rng(0))
    assert codes[rows].tolist() == [0] * 4 + [1] * 4


def test_a_project_that_does_not_fit_is_listed(tmp_path):
    with pytest.raises(ProjectError, match=r"no mask\.npy, no pathway\.csv"):
        read_project(tmp_path)
    model = network()
    np.save(tmp_path / "mask.npy", build_mask(GENES, SETS).mask)
    (tmp_path / "pathway.csv").write_text(",0\n0,A\n1,B\n2,node 0\n")
    (tmp_path / "label_dictionary.csv").write_text(",Celltype\n0,a\n1,b\n2,c\n")
    tensors = model.state_dict()
    torch.save(tensors, tmp_path / "model-0.pth")
    found = read_project(tmp_path, layout="aligned")
    x = torch.rand(2, 12)
    with torch.no_grad():
        assert torch.equal(found.network(x), model(x))
    tensors["head.weight"] = torch.zeros(4, 8)
    del tensors["norm.bias"]
    torch.save(tensors, tmp_path / "model-1.pth")
    with pytest.raises(ProjectError, match=r"(?s)norm.bias: missing.*head.weight: \(4, 8\) in the file"):
        read_project(tmp_path)
