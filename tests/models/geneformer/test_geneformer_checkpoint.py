"""Checkpoint folders and dictionaries: official layouts, every spelling, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from sceval.models.geneformer.checkpoint import known_genes, load, load_classifier, new, save
from sceval.models.geneformer.keys import DECODER_BIAS, DECODER_WEIGHT, native_name, official_name
from sceval.models.geneformer.tokens import tokenize
from sceval.models.transformer.loading import read_safetensors, write_safetensors
from sceval.models.transformer.problems import CheckpointError, UnfitCheckpoint


def tensors_of(folder):
    return read_safetensors(folder / "model.safetensors")


def rewrite(folder, tensors):
    write_safetensors(folder / "model.safetensors", tensors)


def same(one, other):
    first, second = one.state_dict(), other.state_dict()
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_both_versions_are_found_in_the_official_layout(official):
    for folder, specials in ((official.v1, 2), (official.v2, 4)):
        loaded = load(folder)
        assert len(loaded.vocabulary) - len(loaded.vocabulary.ids) == specials
        assert loaded.report.left_out == {}
        assert loaded.report.new == {}
        assert loaded.vocabulary.content.suffix == ("gc30M" if specials == 2 else "gc104M")
    assert load(official.v1).network.config.pooled == "cell"
    assert load(official.v2).network.config.pooled == "cls"


@pytest.mark.parametrize(
    "place", [".", "gene_dictionaries_30m", "geneformer/gene_dictionaries_30m", "..", "../geneformer"]
)
def test_places_of_dictionaries(official, tmp_path, place):
    model = tmp_path / "elsewhere" / "deep" / "model"
    shutil.copytree(official.v1, model)
    (model / place).resolve().mkdir(parents=True, exist_ok=True)
    for path in official.d1.glob("*.pkl"):
        shutil.copy(path, (model / place).resolve() / path.name)
    assert len(load(model).vocabulary) == 14


def test_the_models_at_the_root_of_the_repository(official):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(official.v2 / name, official.root / name)
    assert load(official.root).vocabulary.cls_id == 2


def test_every_spelling_gives_the_same_network(official):
    network, tensors = load(official.v1).network, tensors_of(official.v1)
    table, bias = tensors["bert.embeddings.word_embeddings.weight"], tensors["cls.predictions.bias"]
    (official.v1 / "model.safetensors").unlink()
    old = tensors | {
        "bert.embeddings.position_ids": torch.arange(10)[None],
        DECODER_WEIGHT: table.clone(),
        DECODER_BIAS: bias.clone(),
    }
    torch.save(old, official.v1 / "pytorch_model.bin")
    loaded = load(official.v1)
    assert same(loaded.network, network)
    assert list(loaded.report.left_out) == ["embeddings.position_ids"]
    spelled = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
        if "word_embeddings" not in name
    }
    torch.save(spelled | {DECODER_WEIGHT: table}, official.v1 / "pytorch_model.bin")
    assert same(load(official.v1).network, network)
    base = {name.removeprefix("bert."): value for name, value in tensors.items() if name.startswith("bert.")}
    rewrite(official.v1, base)
    loaded = load(official.v1, seed=3)
    assert set(loaded.report.new) == {name for name in network.state_dict() if name.startswith("masked_head.")}
    assert torch.equal(loaded.network.gene_table(), network.gene_table())
    assert same(loaded.network, load(official.v1, seed=3).network)


def test_names_lead_back_to_each_other(official):
    for name in tensors_of(official.v2):
        assert official_name(native_name(name)) == name
    for name in ("bert.pooler.dense.weight", "classifier.bias"):
        assert official_name(native_name(name)) == name
    with pytest.raises(KeyError):
        official_name("embeddings.other.weight")


def test_a_classifier_brings_its_head(official):
    tensors = {name: value for name, value in tensors_of(official.v2).items() if name.startswith("bert.")}
    head = {
        "bert.pooler.dense.weight": torch.randn(16, 16),
        "bert.pooler.dense.bias": torch.randn(16),
        "classifier.weight": torch.randn(3, 16),
        "classifier.bias": torch.randn(3),
    }
    rewrite(official.v2, tensors | head)
    config = json.loads((official.v2 / "config.json").read_text())
    (official.v2 / "config.json").write_text(json.dumps(config | {"id2label": {"0": "B", "1": "NK", "2": "T"}}))
    loaded, module, names = load_classifier(official.v2)
    assert names == ["B", "NK", "T"]
    assert torch.equal(module.classifier.weight, head["classifier.weight"])
    assert "cell_head.classifier.weight" in loaded.report.left_out
    with pytest.raises(CheckpointError, match=r"no classifier\.weight"):
        load_classifier(official.v1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("bert.encoder.layer.1.output.dense.bias"), ["layers.1.down.bias: not in the file"]),
        (
            lambda t: t.update({"bert.encoder.layer.0.intermediate.dense.weight": torch.zeros(20, 16)}),
            ["layers.0.up.weight: 20 x 16 in the file, 24 x 16 needed"],
        ),
        (
            lambda t: t.update({"bert.encoder.layer.2.output.dense.bias": torch.zeros(16), "bert.odd": torch.zeros(1)}),
            ["layers.2.down.bias: unknown to the network", "odd: unknown to the network", "2 backbone tensors"],
        ),
        (lambda t: t.update({DECODER_WEIGHT: torch.zeros(14, 16)}), ["differs from embeddings.word.weight", "tied"]),
        (lambda t: t.update({"embeddings.LayerNorm.bias": torch.zeros(16)}), ["twice"]),
    ],
)
def test_tensors_that_do_not_match_are_listed(official, change, told):
    tensors = tensors_of(official.v1)
    change(tensors)
    rewrite(official.v1, tensors)
    with pytest.raises(CheckpointError) as error:
        load(official.v1)
    assert all(text in str(error.value) for text in told)


def test_damaged_and_foreign_files(official, tmp_path):
    whole = (official.v1 / "model.safetensors").read_bytes()
    (official.v1 / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        load(official.v1)
    rewrite(official.v1, {"transformer.wte.weight": torch.zeros(3, 3)})
    with pytest.raises(CheckpointError, match="no BERT tensor"):
        load(official.v1)
    (official.v1 / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors or pytorch_model\.bin"):
        load(official.v1)
    (official.v1 / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CheckpointError, match="vocab_size"):
        load(official.v1)
    (official.v1 / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a JSON file"):
        load(official.v1)
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_attention_heads": 3}, "not divisible by 3"),
        ({"hidden_act": "swish"}, "hidden_act is 'swish'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"model_type": "gpt2"}, "model_type is 'gpt2'"),
        ({"hidden_size": None}, "config.json"),
        ({"hidden_size": 32}, "layers.0.query.weight: 16 x 16 in the file, 32 x 32 needed"),
    ],
)
def test_a_config_that_does_not_fit(official, change, told):
    path = official.v1 / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=told):
        load(official.v1)


def test_pooling_on_cls_needs_the_token(official):
    with pytest.raises(UnfitCheckpoint, match="needs a <cls> token"):
        load(official.v1, {"pooling": "cls"})


def dump(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))


def read(path):
    return pickle.loads(path.read_bytes())


def test_no_dictionaries(official):
    shutil.rmtree(official.d2)
    with pytest.raises(CheckpointError, match="Put the dictionaries of the official repository"):
        load(official.v1)


def test_dictionaries_of_the_other_version(official):
    for path in official.d2.glob("*.pkl"):
        shutil.copy(path, official.v1 / path.name)
    with pytest.raises(CheckpointError, match=r"the model has 14 tokens, and .*gc104M\.pkl has 15.*another version"):
        load(official.v1)


@pytest.mark.parametrize("stem", ["gene_median_dictionary", "ensembl_mapping_dict"])
def test_one_file_of_the_other_version(official, stem):
    """V1's medians or mapping under the name of V2's."""
    shutil.copy(official.d1 / f"{stem}_gc30M.pkl", official.d2 / f"{stem}_gc104M.pkl")
    with pytest.raises(CheckpointError, match="belong to different versions"):
        load(official.v2)


def test_medians_of_another_version_alone_beside_the_tokens(official):
    (official.d2 / "gene_median_dictionary_gc104M.pkl").rename(official.d2 / "gene_median_dictionary_gc95M.pkl")
    with pytest.raises(CheckpointError, match=r"of the same version beside it; gene medians there: .*gc95M"):
        load(official.v2)


def test_medians_in_place_of_tokens_and_tokens_in_place_of_medians(official):
    tokens, medians = (official.d2 / f"{stem}_gc104M.pkl" for stem in ("token_dictionary", "gene_median_dictionary"))
    kept = tokens.read_bytes()
    shutil.copy(medians, tokens)
    with pytest.raises(CheckpointError, match="median dictionary in place of the token dictionary"):
        load(official.v2)
    tokens.write_bytes(kept)
    shutil.copy(tokens, medians)
    with pytest.raises(CheckpointError, match="token dictionary in place of the gene medians"):
        load(official.v2)


class Evil:
    def __reduce__(self):
        return print, ("called",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (Evil(), "not allowed"),
        ({"<pad>": 0, "<mask>": 1, "ENSG00000000001": Evil()}, "not allowed"),
        ([1, 2], "expected a token dictionary .* found list"),
        ({}, "an empty dictionary"),
        ({"<pad>": 0, "<mask>": 1, "ENSG00000000001": "2"}, "found '2'"),
        ({"ENSG00000000001": 0, "ENSG00000000002": 1}, "no <pad> and <mask>"),
        ({"<pad>": 0, "<mask>": 1, "ENSG00000000001": 1}, "each once"),
    ],
)
def test_token_files_that_are_none(official, content, told, capsys):
    dump(official.d2 / "token_dictionary_gc104M.pkl", content)
    with pytest.raises(CheckpointError, match=told):
        load(official.v2)
    assert capsys.readouterr().out == ""


def test_numpy_scalars_of_the_official_files_are_read(official):
    tokens, medians = (official.d1 / f"{stem}_gc30M.pkl" for stem in ("token_dictionary", "gene_median_dictionary"))
    expected = load(official.v1).vocabulary
    specials = {"<pad>", "<mask>"}
    dump(tokens, {k: v if k in specials else np.int16(v) for k, v in read(tokens).items()})
    # The official files were written by NumPy 1, which named the module otherwise.
    old = pickle.dumps({k: np.float64(v) for k, v in read(medians).items()}, protocol=2)
    medians.write_bytes(old.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    vocabulary = load(official.v1).vocabulary
    assert vocabulary.content.tokens == expected.content.tokens
    assert vocabulary.content.medians == expected.content.medians
    assert {type(v) for v in vocabulary.content.medians.values()} == {float}


def test_saved_and_loaded_again(small, tmp_path):
    s = small()
    save(tmp_path / "saved", s.network, s.vocabulary)
    assert not [path for path in (tmp_path / "saved").iterdir() if path.is_dir()]
    loaded = load(tmp_path / "saved")
    assert same(loaded.network, s.network)
    assert loaded.report.new == loaded.report.left_out == {}
    again = tokenize(s.counts, s.genes, s.cells, loaded.vocabulary, {}, 0)
    rows = np.flatnonzero(s.tokens.usable)
    np.testing.assert_array_equal(again.batch(rows)["input_ids"], s.tokens.batch(rows)["input_ids"])
    assert list(known_genes(tmp_path / "saved")) == s.genes.ensembl
    plain = read(tmp_path / "saved" / "token_dictionary.pkl")
    assert plain["<cls>"] == 2
    assert type(plain[s.genes.ensembl[0]]) is int


def test_an_official_model_saved_again_keeps_its_dictionaries(official, tmp_path):
    loaded = load(official.v1)
    save(tmp_path / "copy", loaded.network, loaded.vocabulary)
    again = load(tmp_path / "copy")
    assert again.vocabulary.content == loaded.vocabulary.content
    assert same(again.network, loaded.network)
    assert sorted(path.name for path in (tmp_path / "copy").glob("*gc30M.pkl")) == sorted(
        path.name for path in official.d1.glob("*.pkl")
    )


def test_a_vocabulary_without_medians_is_not_saved(small, tmp_path):
    s = small()
    made = new(s.genes, s.settings, 0)
    with pytest.raises(ValueError, match="no medians yet"):
        save(tmp_path / "saved", made.network, made.vocabulary)


def test_new_networks_are_seeded_and_checked(small):
    s = small()
    assert same(new(s.genes, s.settings, 1).network, new(s.genes, s.settings, 1).network)
    assert not same(new(s.genes, s.settings, 1).network, new(s.genes, s.settings, 2).network)
    with pytest.raises(CheckpointError, match="not divisible"):
        new(s.genes, s.settings | {"n_heads": 3}, 0)
