"""Official folders: what is read, what is worked out, what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from sceval.models.transformer.problems import CheckpointError
from sceval.models.uce.checkpoint import known_genes, load
from sceval.models.uce.names import read_names
from sceval.models.uce.tokens import tokenize

SETTINGS = {"n_heads": 4, "sample_size": 20}
MODEL, HUMAN = "4layer_model.torch", "protein_embeddings/Homo_sapiens.GRCh38.gene_symbol_to_embedding_ESM2.pt"


def rewrite(path, change):
    torch.save(change(torch.load(path, weights_only=True)), path)


def test_sizes_come_from_the_tensors(official):
    loaded = load(official(), SETTINGS, 0)
    told = loaded.network.config
    assert (told.token_dim, told.d_model, told.n_layers, told.d_ff, told.n_positions) == (8, 16, 2, 24, 200)
    assert (told.decoder, told.binary_decoder, told.width) == ((20, 12), (10, 1), 12)
    assert loaded.report.new == loaded.report.left_out == {}
    assert not loaded.network.training


def test_module_prefix(official):
    folder = official()
    before = load(folder, SETTINGS, 0).network.state_dict()
    rewrite(folder / MODEL, lambda t: {f"module.{k}": v for k, v in t.items()})
    after = load(folder, SETTINGS, 0).network.state_dict()
    assert all(torch.equal(before[name], value) for name, value in after.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {k: v for k, v in t.items() if k != "decoder.0.1.bias"}, "decoder.0.1.bias: not in the file"),
        (lambda t: t | {"transformer_encoder.extra": torch.zeros(2)}, "transformer_encoder.extra: unknown"),
        (lambda t: t | {"transformer_encoder.layers.1.norm1.bias": torch.zeros(3)}, "norm1.bias: 3 in the file"),
        (lambda t: {k: v for k, v in t.items() if "layers.0." not in k}, "no tensor transformer_encoder.layers.0"),
        (lambda t: {"wte.weight": torch.zeros(3, 3)}, "no tensor encoder.0.weight; this is no UCE file"),
        (lambda t: t | {"pe_embedding.weight": torch.zeros(56, 9)}, "vectors of 9, encoder.0.weight takes 8"),
        (lambda t: t | {"pe_embedding.weight": torch.zeros(48, 8)}, "species_chrom.csv names 8 chromosomes"),
        (lambda t: [1, 2], "expected a bare state dict"),
    ],
    ids=["missing", "further", "misshapen", "no layer", "foreign", "table", "chromosomes", "list"],
)
def test_unfit_tensors(official, change, message):
    folder = official()
    rewrite(folder / MODEL, change)
    with pytest.raises(CheckpointError, match=message):
        load(folder, SETTINGS, 0)


def test_heads_that_do_not_divide_the_width(official):
    with pytest.raises(CheckpointError, match="width 16 is not divisible by 20"):
        load(official(), {}, 0)


def test_which_file_is_the_checkpoint(official):
    folder = official(extra=["all_tokens.torch"])
    assert load(folder, SETTINGS, 0).report.files[0].name == MODEL
    both = official("both", extra=["33l_8ep_1024t_1280.torch"])
    with pytest.raises(CheckpointError, match=r"several checkpoints .* parameter model_file"):
        load(both, SETTINGS, 0)
    assert load(both, SETTINGS | {"model_file": MODEL}, 0).report.files[0].name == MODEL
    with pytest.raises(CheckpointError, match=r"no other\.torch"):
        load(both, SETTINGS | {"model_file": "other.torch"}, 0)
    (folder / MODEL).unlink()
    with pytest.raises(CheckpointError, match="no checkpoint; a UCE checkpoint is a folder with"):
        load(folder, SETTINGS, 0)


@pytest.mark.parametrize("name", [MODEL, HUMAN])
def test_truncated_files(official, name):
    folder = official()
    (folder / name).write_bytes((folder / name).read_bytes()[:-300])
    with pytest.raises(CheckpointError, match="truncated"):
        load(folder, SETTINGS, 0)


@pytest.mark.parametrize("name", ["species_offsets.pkl", "species_chrom.csv"])
def test_missing_tables(official, name):
    folder = official()
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"no {name}; UCE needs"):
        load(folder, SETTINGS, 0)


class Forbidden:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("name", [MODEL, HUMAN, "species_offsets.pkl"])
def test_a_forbidden_class_is_not_executed(official, capsys, name):
    folder = official()
    if name.endswith("pkl"):
        (folder / name).write_bytes(pickle.dumps({"human": Forbidden()}))
    else:
        torch.save({"GENE0": Forbidden()}, folder / name)
    with pytest.raises(CheckpointError, match=r"print, which is not allowed"):
        load(folder, SETTINGS, 0)
    assert "executed" not in capsys.readouterr().out


def test_tables_of_another_release(official):
    folder = official()
    (folder / "species_offsets.pkl").write_bytes(pickle.dumps({"mouse": 4, "human": 10}))
    with pytest.raises(CheckpointError, match=r"mouse has 12 genes, species_offsets\.pkl leaves room for 6"):
        load(folder, SETTINGS, 0)
    (folder / "species_offsets.pkl").write_bytes(pickle.dumps([4, 16]))
    with pytest.raises(CheckpointError, match="expected a dictionary species -> row"):
        load(folder, SETTINGS, 0)


def test_the_chromosome_offset(official):
    folder = official()
    assert load(folder, SETTINGS, 0).vocabulary.chromosome_offset == 46
    (folder / HUMAN).unlink()
    with pytest.raises(CheckpointError, match="behind the genes of human, whose protein file is missing"):
        load(folder, SETTINGS, 0)
    loaded = load(folder, SETTINGS | {"chromosome_offset": 46}, 0)
    with pytest.raises(CheckpointError, match=r"no protein file for human: protein_embeddings/Homo_sapiens"):
        loaded.vocabulary.species("human")
    assert len(loaded.vocabulary.species("mouse")) == 12


def test_names_are_read_in_order_without_torch(official):
    import subprocess
    import sys

    folder = official()
    assert read_names(folder / HUMAN) == [f"GENE{i}" for i in range(30)]
    torch.save({"b": torch.nn.Parameter(torch.ones(2)), "A": torch.ones(2).half()}, folder / "p.pt")
    assert read_names(folder / "p.pt") == ["b", "A"]
    torch.save([torch.ones(2)], folder / "p.pt")
    with pytest.raises(CheckpointError, match="expected a dictionary gene symbol -> vector, found list"):
        read_names(folder / "p.pt")
    assert {"GENE29", "Gene11"} <= set(known_genes(folder))
    code = "import sys, sceval.models.uce.checkpoint, sceval.models.uce.program; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_symbols_that_differ_by_case_count_once(official):
    """As upstream counts: the genes behind the second spelling move up by one row."""
    folder = official()
    vectors = torch.load(folder / HUMAN, weights_only=True)
    names = ["GENE0", "gene0", *(f"GENE{i}" for i in range(1, 29))]
    torch.save(dict(zip(names, vectors.values(), strict=True)), folder / HUMAN)
    known = load(folder, SETTINGS, 0).vocabulary.species("human")
    assert (known["GENE0"].token, known["GENE1"].token, known["GENE28"].token) == (16, 17, 44)


@torch.no_grad()
def test_vectors_do_not_depend_on_padding_unless_asked(official, dataset):
    loaded = load(official(), SETTINGS, 0)

    def vectors(rows, **settings):
        made = SETTINGS | settings
        tokens = tokenize(dataset.counts, dataset.genes, dataset.cells, loaded.vocabulary, made, 0)
        batch = {k: torch.from_numpy(v) for k, v in tokens.batch(np.asarray(rows)).items()}
        return loaded.network.encode(batch).numpy()

    rows = [i for i in range(24) if i not in (5, 6)]
    together = vectors(rows)
    alone = np.concatenate([vectors([row]) for row in rows])
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    upstream = vectors(rows, padding="upstream", upstream_batch=8)
    assert np.abs(upstream - together).max() > 1e-4
    again = np.concatenate([vectors([row], padding="upstream", upstream_batch=8) for row in rows])
    np.testing.assert_allclose(again, upstream, atol=1e-6)
    np.testing.assert_allclose(vectors(rows, padding="upstream", upstream_batch=1), together, atol=1e-6)


def test_a_sentence_longer_than_the_model(official, dataset):
    loaded = load(official(), SETTINGS, 0)
    tokens = tokenize(dataset.counts, dataset.genes, dataset.cells, loaded.vocabulary, {"sample_size": 250}, 0)
    batch = {k: torch.from_numpy(v) for k, v in tokens.batch(np.array([0])).items()}
    with pytest.raises(ValueError, match="the model has 200 positions: lower sample_size"):
        loaded.network.encode(batch)
