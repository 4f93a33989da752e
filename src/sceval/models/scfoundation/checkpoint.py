"""Official files: models.ckpt (three networks under `cell`, `rde`, `gene`) and the gene list beside it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.models.scfoundation.config import ScFoundationConfig
from sceval.models.scfoundation.vocabulary import GENE_LIST, WEIGHTS, Vocabulary, VocabularyError, find
from sceval.models.transformer.loading import CheckpointError, Loaded, fill, read_torch

if TYPE_CHECKING:
    from torch import Tensor

    from sceval.models.scfoundation.network import ScFoundation

VERSIONS = ("cell", "rde", "gene")
#: Tensors of official files that no forward pass reads.
UNUSED = {"decoder.performer.calls_since_last_redraw": "counts training steps"}


def read_genes(folder: str | Path) -> Vocabulary:
    """Read the fixed gene list."""
    try:
        return Vocabulary.read(find(folder, GENE_LIST))
    except (VocabularyError, FileNotFoundError) as error:
        raise CheckpointError(str(error)) from error


def known_genes(folder: str | Path) -> Iterable[str]:
    """Genes of the list."""
    return read_genes(folder).genes


def _weights(folder: str | Path) -> Path:
    try:
        return find(folder, WEIGHTS)
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from error


def _part(path: Path, version: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors (without the prefix up to ``model.``) of one of the networks in a file."""
    import torch

    content = read_torch(path)
    if not isinstance(content, Mapping) or not set(content) & set(VERSIONS):
        kind = f"keys {list(content)[:5]}" if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(f"{path}: expected a dictionary with networks {', '.join(VERSIONS)}, found {kind}")
    if version not in content:
        raise CheckpointError(f"{path}: no network {version!r}; the file holds {', '.join(map(str, content))}")
    part = content[version]
    if not isinstance(part, Mapping) or not {"config", "state_dict"} <= set(part):
        raise CheckpointError(f"{path}: network {version!r} has no config and state_dict")
    tensors = {}
    for key, value in part["state_dict"].items():
        if isinstance(value, torch.Tensor):
            name = key.rsplit("model.", 1)[-1]
            if name in tensors:
                raise CheckpointError(f"{path}: tensor {name} is there twice, under two spellings (second: {key})")
            tensors[name] = value.float() if value.is_floating_point() else value
    return dict(part["config"]), tensors


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    found = [int(match.group(1)) for name in tensors if (match := re.match(pattern, name))]
    return max(found) + 1 if found else 0


def config_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor], where: str) -> ScFoundationConfig:
    """Work out the sizes; those of the tensors must be those that the config names.

    Raises
    ------
    CheckpointError
        A tensor or entry is missing, a size differs, or the network is of a kind that no released file has.
    """
    try:
        inner = config["model_config"][config["model"]]
        encoder, decoder = inner["encoder"], inner["decoder"]
        features = tensors["decoder.performer.net.layers.0.0.fn.fast_attention.projection_matrix"]
        sizes = ScFoundationConfig(
            n_genes=tensors["pos_emb.weight"].shape[0] - 3,
            d_model=tensors["pos_emb.weight"].shape[1],
            n_layers=_count(tensors, r"encoder\.transformer_encoder\.(\d+)\."),
            n_heads=int(encoder["heads"]),
            d_ff=tensors["encoder.transformer_encoder.0.linear1.weight"].shape[0],
            n_bins=tensors["token_emb.emb.weight"].shape[0],
            bin_alpha=float(inner["bin_alpha"]),
            decoder_width=tensors["decoder_embed.weight"].shape[0],
            decoder_layers=_count(tensors, r"decoder\.performer\.net\.layers\.(\d+)\."),
            decoder_heads=int(decoder["heads"]),
            decoder_head_width=features.shape[1],
            decoder_ff=tensors["decoder.performer.net.layers.0.1.fn.fn.w1.weight"].shape[0],
            n_features=features.shape[0],
        )
    except KeyError as error:
        raise CheckpointError(f"{where}: no {error.args[0]}; this is no scFoundation network (mae_autobin)") from error
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: config and tensors do not fit together: {error}") from error
    told = {
        "seq_len": (inner.get("seq_len"), sizes.n_genes + 2),
        "bin_num": (inner.get("bin_num"), sizes.n_bins),
        "encoder.hidden_dim": (encoder.get("hidden_dim"), sizes.d_model),
        "encoder.depth": (encoder.get("depth"), sizes.n_layers),
        "decoder.hidden_dim": (decoder.get("hidden_dim"), sizes.decoder_width),
        "decoder.depth": (decoder.get("depth"), sizes.decoder_layers),
        "decoder.dim_head": (decoder.get("dim_head"), sizes.decoder_head_width),
    }
    wrong = [
        f"{name} is {said} in the config, {size} in the tensors"
        for name, (said, size) in told.items()
        if said not in (None, size)
    ]
    kinds = {"encoder": ("transformer", encoder), "decoder": ("performer", decoder)}
    for name, (kind, part) in kinds.items():
        if part.get("module_type", kind) != kind:
            wrong.append(f"{name} is a {part['module_type']}, only a {kind} works")
    if encoder.get("norm_first"):
        wrong.append("encoder.norm_first is set, only post-norm encoders work")
    codes = (inner.get("mask_token_id", 102), inner.get("pad_token_id", 103))
    if tuple(codes) != (102, 103):
        wrong.append(f"mask and pad codes are {codes[0]} and {codes[1]}, only 102 and 103 work")
    if wrong:
        raise CheckpointError(f"{where}: " + "; ".join(wrong))
    return sizes


def load(folder: str | Path, settings: Mapping[str, Any] | None = None, seed: int = 0) -> Loaded:
    """Load one of the networks of a folder, in evaluation mode.

    Parameters
    ----------
    folder
        Folder with models.ckpt and the gene list, in the official layout.
    settings
        ``version``: ``cell`` (default), ``rde`` or ``gene``; ``pool``: as in :class:`ScFoundationConfig`.
    seed
        Not used: the file supplies every tensor.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, or its tensors do not match; the message lists all of them.
    """
    settings = settings or {}
    version = settings.get("version", "cell")
    vocabulary, path = read_genes(folder), _weights(folder)
    config, tensors = _part(path, version)
    where = f"{path}, network {version!r}"
    sizes = config_of(config, tensors, where)
    if sizes.n_genes != len(vocabulary):
        raise CheckpointError(
            f"{where}: the gene table has {sizes.n_genes + 3} rows ({sizes.n_genes} genes, T, S, padding), but the "
            f"gene list has {len(vocabulary)} genes; the two files belong to different models"
        )
    network = _empty(replace(sizes, pool=settings.get("pool", "all")))
    report = fill(network, tensors, unused=UNUSED, where=where, files=[path])
    return Loaded(network.eval(), vocabulary, report)


def _empty(sizes: ScFoundationConfig) -> ScFoundation:
    import torch

    from sceval.models.scfoundation.network import ScFoundation

    with torch.random.fork_rng(devices=[]):
        return ScFoundation(sizes)


def save(folder: str | Path, networks: Mapping[str, ScFoundation] | ScFoundation, vocabulary: Vocabulary) -> None:
    """Write networks in the official layout; every file appears whole or not at all.

    Parameters
    ----------
    folder
        Made if absent.
    networks
        One for each of ``cell``, ``rde``, ``gene``, or one that is written under all three names.
    vocabulary
        The gene list.
    """
    import torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(networks, torch.nn.Module):
        networks = dict.fromkeys(VERSIONS, networks)
    content = {name: {"config": _told(net.config), "state_dict": _tensors(net)} for name, net in networks.items()}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        torch.save(content, Path(work) / WEIGHTS)
        vocabulary.write(Path(work) / GENE_LIST)
        for name in (WEIGHTS, GENE_LIST):
            (Path(work) / name).replace(folder / name)


def _tensors(network: ScFoundation) -> dict[str, Tensor]:
    return {f"model.{name}": value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _told(c: ScFoundationConfig) -> dict[str, Any]:
    positions = {"seq_len": c.n_genes + 2, "norm_first": False}
    inner = {
        "seq_len": c.n_genes + 2,
        "pad_token_id": 103,
        "mask_token_id": 102,
        "bin_num": c.n_bins,
        "bin_alpha": c.bin_alpha,
        "encoder": {
            "module_type": "transformer",
            "hidden_dim": c.d_model,
            "depth": c.n_layers,
            "heads": c.n_heads,
            "dim_head": c.d_model // c.n_heads,
            **positions,
        },
        "decoder": {
            "module_type": "performer",
            "hidden_dim": c.decoder_width,
            "depth": c.decoder_layers,
            "heads": c.decoder_heads,
            "dim_head": c.decoder_head_width,
            **positions,
        },
    }
    return {"model": "mae_autobin", "model_config": {"mae_autobin": inner}}
