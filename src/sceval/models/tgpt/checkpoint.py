"""Official folders of tGPT (the Hugging Face layout of a GPT-2): read, checked, written."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.data.genes import Genes
from sceval.models.tgpt.vocabulary import SPECIALS_MAP, TOKENIZER, TOKENIZER_CONFIG, Vocabulary, read_json
from sceval.models.transformer.loading import (
    CheckpointError,
    Loaded,
    UnfitCheckpoint,
    fill,
    read_state_dict,
    require_files,
    respell,
)

if TYPE_CHECKING:
    from torch import Tensor

    from sceval.models.tgpt.network import Config, Network

CONFIG, TORCH, SAFETENSORS, MD5 = "config.json", "pytorch_model.bin", "model.safetensors", "md5.txt"
LAYOUT = f"a tGPT checkpoint is a folder with {CONFIG}, {TOKENIZER} and {TORCH} or {SAFETENSORS}"

#: Layers that GPT-2 stores input x output; a linear layer of torch is output x input.
_TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
#: Causal masks of old files. With the dot in front: `c_attn.bias` is a parameter.
_MASKS = (".attn.bias", ".attn.masked_bias")


def native_name(key: str) -> str:
    """Name in our network of a tensor in an official file, with or without `module.` and `transformer.`."""
    key = key.removeprefix("module.").removeprefix("transformer.")
    return f"layers.{key.removeprefix('h.')}" if key.startswith("h.") else key


def official_name(name: str) -> str:
    """Name in an official file of a tensor of our network."""
    return f"transformer.h.{name.removeprefix('layers.')}" if name.startswith("layers.") else f"transformer.{name}"


def _turn(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Switch between the two orders of axes; the same both ways."""
    return {k: v.T.contiguous() if k.endswith(_TRANSPOSED) and v.ndim == 2 else v for k, v in tensors.items()}


def read_config(folder: Path, vocabulary: Vocabulary, settings: dict[str, Any]) -> Config:
    """Return the network that `config.json` describes.

    Parameters
    ----------
    settings
        `type_ids` (default true), `dropout` (all three; below 0 those of the file).

    Raises
    ------
    CheckpointError
        Damaged, of another model, or of a variant of GPT-2 that tGPT never used.
    """
    from sceval.models.tgpt.network import Config

    path = folder / CONFIG
    told = read_json(path)
    if told.get("model_type", "gpt2") != "gpt2":
        raise CheckpointError(f"{path}: model_type is {told['model_type']!r}; tGPT is a gpt2")
    for key, right in (
        ("activation_function", ("gelu_new", "gelu_pytorch_tanh")),
        ("scale_attn_weights", (True,)),
        ("scale_attn_by_inverse_layer_idx", (False,)),
        ("add_cross_attention", (False,)),
        ("tie_word_embeddings", (True,)),
    ):
        if told.get(key, right[0]) not in right:
            raise CheckpointError(
                f"{path}: {key} is {told[key]!r}; tGPT has {right[0]!r} and nothing else is supported"
            )
    try:
        width = int(told["n_embd"])
        config = Config(
            n_tokens=int(told["vocab_size"]),
            n_positions=int(told["n_positions"]),
            width=width,
            n_layers=int(told["n_layer"]),
            n_heads=int(told["n_head"]),
            d_ff=int(told.get("n_inner") or 4 * width),
            unk_id=vocabulary.unk_id,
            type_ids=bool(settings.get("type_ids", True)),
            embedding_dropout=float(told.get("embd_pdrop", 0.1)),
            residual_dropout=float(told.get("resid_pdrop", 0.1)),
            attention_dropout=float(told.get("attn_pdrop", 0.1)),
            eps=float(told.get("layer_norm_epsilon", 1e-5)),
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: no entry {error.args[0]}; this is no config.json of a GPT-2") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return _with_dropout(config, settings)


def _with_dropout(config: Config, settings: dict[str, Any]) -> Config:
    rate = float(settings.get("dropout", -1))
    if rate < 0:
        return config
    return replace(config, embedding_dropout=rate, residual_dropout=rate, attention_dropout=rate)


def _digest_notes(folder: Path, path: Path) -> tuple[str, ...]:
    """Return what is to be said where `md5.txt` of the folder names another digest than the file has."""
    listed = folder / MD5
    if not listed.is_file():
        return ()
    lines = (line.split() for line in listed.read_text(encoding="utf-8", errors="replace").splitlines())
    told = [words[0].lower() for words in lines if len(words) == 2 and words[1].lstrip("*") == path.name]
    if not told:
        return ()
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return () if digest in told else (f"{path.name} has MD5 {digest}, {MD5} says {told[0]}: not the file published",)


def load(folder: Path, settings: dict[str, Any], seed: int) -> Loaded:
    """Load an official folder as it comes.

    Parameters
    ----------
    folder
        With config.json, tokenizer.json and the weights (`pytorch_model.bin`, the official file, where both are there).
    settings
        See :func:`read_config`.
    seed
        Not used: the file holds every tensor.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, or a tensor is missing, misshapen or unknown (all are listed).
    UnfitCheckpoint
        More positions are asked for than the model has.
    """
    import torch

    from sceval.models.tgpt.network import Network

    folder = Path(folder)
    path = folder / (SAFETENSORS if not (folder / TORCH).is_file() and (folder / SAFETENSORS).is_file() else TORCH)
    require_files(folder, (CONFIG, TOKENIZER, path.name), LAYOUT)
    vocabulary = Vocabulary.read(folder)
    config = read_config(folder, vocabulary, settings)
    if max(vocabulary.ids.values()) >= config.n_tokens:
        raise CheckpointError(
            f"{folder}: {TOKENIZER} has ids up to {max(vocabulary.ids.values())}, but {CONFIG} says vocab_size "
            f"{config.n_tokens}; the two files belong to different models"
        )
    if int(settings.get("max_length", 64)) > config.n_positions:
        raise UnfitCheckpoint(
            f"{folder}: max_length is {settings['max_length']}, the model has {config.n_positions} positions"
        )
    tensors = _turn(respell(read_state_dict(path), native_name, path))
    unused = {name: "causal mask, made anew" for name in tensors if name.endswith(_MASKS)}
    notes = _digest_notes(folder, path)
    output = tensors.pop("lm_head.weight", None)
    if output is not None and "wte.weight" in tensors and not torch.equal(output, tensors["wte.weight"]):
        # Tied: the official loader uses the token table whatever this copy says.
        notes += (f"{path.name}: lm_head.weight differs from the token table that it is tied to; the table is used",)
    network = Network(config)
    report = fill(network, tensors, unused=unused, where=path, notes=notes, files=(path,))
    return Loaded(network.eval(), vocabulary, report)


def new(genes: Genes, settings: dict[str, Any], seed: int) -> Loaded:
    """Build a network with random weights and the vocabulary of a dataset.

    Parameters
    ----------
    genes
        The dataset's genes; the vocabulary is in their order.
    settings
        `d_model`, `n_layers`, `n_heads`, `max_length`, `dropout`, `type_ids`.
    seed
        Of the weights.
    """
    import torch

    from sceval.models.tgpt.network import Config, Network

    vocabulary = Vocabulary.from_genes(genes.symbols)
    width = int(settings.get("d_model", 64))
    config = Config(
        n_tokens=len(vocabulary),
        n_positions=int(settings.get("max_length", 64)),
        width=width,
        n_layers=int(settings.get("n_layers", 2)),
        n_heads=int(settings.get("n_heads", 4)),
        d_ff=4 * width,
        unk_id=vocabulary.unk_id,
        type_ids=bool(settings.get("type_ids", True)),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Loaded(Network(_with_dropout(config, settings)).eval(), vocabulary, None)


def save(folder: Path, network: Network, vocabulary: Vocabulary) -> None:
    """Write the official layout; every file appears whole or not at all, the weights last.

    The folder is made if absent. The published tools of Hugging Face read it as a GPT-2.
    """
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    c = network.config
    told = {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": c.attention_dropout,
        "bos_token_id": vocabulary.bos_id,
        "embd_pdrop": c.embedding_dropout,
        "eos_token_id": vocabulary.eos_id,
        "initializer_range": 0.02,
        "layer_norm_epsilon": c.eps,
        "model_type": "gpt2",
        "n_embd": c.width,
        "n_head": c.n_heads,
        "n_inner": None if c.d_ff == 4 * c.width else c.d_ff,
        "n_layer": c.n_layers,
        "n_positions": c.n_positions,
        "pad_token_id": vocabulary.pad_id,
        "resid_pdrop": c.residual_dropout,
        "scale_attn_by_inverse_layer_idx": False,
        "scale_attn_weights": True,
        "torch_dtype": "float32",
        "vocab_size": c.n_tokens,
    }
    own = _turn({name: value.detach().float().cpu().contiguous() for name, value in network.state_dict().items()})
    tensors = {official_name(name): value for name, value in own.items()}
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = Path(work)
        (made / CONFIG).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        vocabulary.write(made)
        torch.save(tensors, made / TORCH)
        digest = hashlib.md5((made / TORCH).read_bytes(), usedforsecurity=False).hexdigest()
        (made / MD5).write_text(f"{digest}  {TORCH}\n", encoding="utf-8")
        for name in (CONFIG, TOKENIZER, TOKENIZER_CONFIG, SPECIALS_MAP, MD5, TORCH):
            (made / name).replace(folder / name)


def known_genes(folder: Path) -> Iterable[str]:
    """Return the genes of a folder's vocabulary, with every symbol that its spelling (`_` for `-` and `.`) can mean."""
    for token in Vocabulary.read(Path(folder)).genes():
        yield token
        if "_" in token:
            yield token.replace("_", "-")
            yield token.replace("_", ".")
