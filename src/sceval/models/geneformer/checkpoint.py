"""Official checkpoint folders: config.json, model.safetensors or pytorch_model.bin, and the dictionaries near them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.models.geneformer.config import GeneformerConfig, config_from_json, config_to_json
from sceval.models.geneformer.dictionaries import (
    CLS,
    SPECIALS,
    find_set,
    read_set,
    write_dictionaries,
)
from sceval.models.geneformer.vocabulary import Vocabulary
from sceval.models.transformer.problems import CheckpointError, UnfitCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from sceval.data.genes import Genes
    from sceval.models.geneformer.blocks import CellHead
    from sceval.models.geneformer.network import Network
    from sceval.models.transformer.loading import Loaded

CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
SCRATCH_TOKENS = 128
WHAT = f"a Geneformer checkpoint is a folder with {CONFIG} and {' or '.join(WEIGHTS)}"


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json.

    Raises
    ------
    CheckpointError
        Absent, no JSON, or without a vocabulary size.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{folder}: no {CONFIG}; {WHAT}")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(told, dict) or not isinstance(told.get("vocab_size"), int):
        raise CheckpointError(f"{path}: expected a JSON object with 'vocab_size'; this is no BERT config")
    return told


def _chosen(settings: dict[str, Any]) -> dict[str, Any]:
    """Fields of the config that settings decide; values below 0 leave the file's dropout as it is."""
    out = {name: settings[name] for name in ("pooling", "emb_layer") if name in settings}
    for name in ("dropout", "attention_dropout"):
        if settings.get(name, -1) >= 0:
            out[name] = float(settings[name])
    return out


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no {' or '.join(WEIGHTS)}; {WHAT}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file in our spelling; the tied decoder is checked and left out.

    Raises
    ------
    CheckpointError
        Unreadable, a tensor twice, or a decoder that is not the token table.
    """
    import torch

    from sceval.models.geneformer.keys import DECODER_BIAS, DECODER_WEIGHT, native_name
    from sceval.models.transformer.loading import read_state_dict, respell

    tensors = respell(read_state_dict(path), native_name, path)
    for decoder, own in ((DECODER_WEIGHT, "embeddings.word.weight"), (DECODER_BIAS, "masked_head.bias")):
        value = tensors.pop(decoder, None)
        if value is not None and not torch.equal(tensors.setdefault(own, value), value):
            raise CheckpointError(
                f"{path}: {decoder} differs from {own}; in every Geneformer they are one tensor (tied), so this file "
                "was written by something else"
            )
    return tensors


def _load(folder: Path, settings: dict[str, Any], seed: int) -> tuple[Loaded, dict[str, Tensor], dict[str, Any]]:
    import torch

    from sceval.models.geneformer.keys import POSITION_IDS, is_backbone
    from sceval.models.geneformer.network import Network
    from sceval.models.transformer.loading import Loaded, fill

    folder = Path(folder)
    told = read_config(folder)
    path = _weights(folder)
    content = read_set(find_set(folder, told["vocab_size"]))
    ids = content.tokens
    if settings.get("pooling") == "cls" and CLS not in ids:
        raise UnfitCheckpoint(f"{folder}: pooling 'cls' needs a {CLS} token, which V1 models lack; choose 'cell'")
    specials = {f"{name.strip('<>')}_id": ids.get(name) for name in SPECIALS}
    try:
        config = config_from_json(told, **(specials | _chosen(settings)))
    except KeyError as error:
        raise CheckpointError(f"{folder / CONFIG}: no {error.args[0]!r}; this is no BERT config") from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error
    tensors = read_tensors(path)
    if not any(is_backbone(name) and name.startswith(("layers.", "embeddings.")) for name in tensors):
        raise CheckpointError(f"{path}: no BERT tensor; it begins with {', '.join(list(tensors)[:3])}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(config)
    unused = {POSITION_IDS: "a buffer of numbers 0, 1, 2, ... that nothing reads"}
    report = fill(
        network, tensors, is_backbone=is_backbone, unused=unused, where=path, notes=content.notes, files=[path]
    )
    vocabulary = Vocabulary(content, config.max_positions)
    return Loaded(network.eval(), vocabulary, report), tensors, told


def load(folder: Path, settings: dict[str, Any] | None = None, seed: int = 0) -> Loaded:
    """Load an official folder: base model, masked-token model or fine-tuned classifier.

    Parameters
    ----------
    folder
        With config.json and the weights; the dictionaries lie beside it or where the official repository has them.
    settings
        `pooling`, `emb_layer`; `dropout`, `attention_dropout` (below 0 = the file's).
    seed
        Of what the file lacks (the masked-token head of a base model).

    Returns
    -------
    network (in evaluation mode), vocabulary, report
        Heads of another task are reported as left out.

    Raises
    ------
    CheckpointError
        A file is absent, damaged or of another model; dictionaries of another version; the list of every backbone
        tensor that is missing, unknown or of another shape.
    """
    return _load(folder, settings or {}, seed)[0]


def load_classifier(folder: Path, settings: dict[str, Any] | None = None) -> tuple[Loaded, CellHead, list[str]]:
    """Load a fine-tuned cell classifier with its head and the names of its classes.

    Raises
    ------
    CheckpointError
        As `load`, or the file has no classifier.
    """
    from sceval.models.geneformer.blocks import CellHead
    from sceval.models.transformer.loading import fill

    loaded, tensors, told = _load(folder, settings or {}, 0)
    head = {name.removeprefix("cell_head."): value for name, value in tensors.items() if name.startswith("cell_head.")}
    if "classifier.weight" not in head:
        raise CheckpointError(f"{folder}: no classifier.weight; this is no fine-tuned cell classifier")
    module = CellHead(loaded.network.config, len(head["classifier.weight"]))
    fill(module, head, where=folder)
    names = told.get("id2label") or {}
    return loaded, module.eval(), [names.get(str(i), f"LABEL_{i}") for i in range(len(head["classifier.weight"]))]


def new(genes: Genes, settings: dict[str, Any], seed: int) -> Loaded:
    """Make a small V2-style network with random weights and the vocabulary of a dataset.

    `settings`: `width`, `n_layers`, `n_heads`, `d_ff`, `max_tokens` (0 = one for each gene, at most `SCRATCH_TOKENS`),
    and those of `load`. The medians are learned by `tokenize` from the cells that may be fitted on.

    Raises
    ------
    CheckpointError
        The sizes do not fit each other.
    """
    import torch

    from sceval.models.geneformer.network import Network
    from sceval.models.transformer.loading import Loaded

    vocabulary = Vocabulary.from_genes(genes, 0)
    vocabulary.max_tokens = int(settings.get("max_tokens") or min(len(vocabulary.ids) + 2, SCRATCH_TOKENS))
    sizes = {name: int(settings[name]) for name in ("width", "n_layers", "n_heads", "d_ff")}
    try:
        config = GeneformerConfig(
            n_tokens=len(vocabulary),
            max_positions=vocabulary.max_tokens,
            cls_id=vocabulary.cls_id,
            eos_id=vocabulary.eos_id,
            **sizes,
            **{"dropout": 0.0, "attention_dropout": 0.0, **_chosen(settings)},
        )
    except ValueError as error:
        raise CheckpointError(f"a model of this size cannot be made: {error}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(config)
    return Loaded(network.eval(), vocabulary, None)


def save(folder: Path, network: Network, vocabulary: Vocabulary) -> None:
    """Write the official layout: config.json, model.safetensors, dictionaries; each file appears whole or not at all.

    Raises
    ------
    ValueError
        The medians of the vocabulary were never learned (nothing was tokenized with it).
    """
    from sceval.models.geneformer.keys import official_name
    from sceval.models.transformer.loading import write_safetensors

    if not vocabulary.fitted:
        raise ValueError("the vocabulary has no medians yet; tokenize the training cells before the model is saved")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {official_name(name): value for name, value in network.state_dict().items()}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        (Path(work) / CONFIG).write_text(json.dumps(config_to_json(network.config), indent=2) + "\n", encoding="utf-8")
        write_safetensors(Path(work) / WEIGHTS[0], tensors)
        names = [*write_dictionaries(Path(work), vocabulary.content), CONFIG, WEIGHTS[0]]
        for name in names:
            (Path(work) / name).replace(folder / name)


def known_genes(folder: Path) -> Iterable[str]:
    """Return the ids that a checkpoint knows: Ensembl ids with a token, then former ids and symbols that lead to one.

    Imports no torch.
    """
    folder = Path(folder)
    content = read_set(find_set(folder, read_config(folder)["vocab_size"]))
    return Vocabulary(content, 0).known()
