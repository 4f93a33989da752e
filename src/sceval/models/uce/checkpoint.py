"""Official folders of UCE: the checkpoint with its token table, chromosomes, offsets, protein files.

There is no network from scratch: the vectors of the genes come from a protein language model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sceval.models.transformer.loading import (
    CheckpointError,
    Loaded,
    fill,
    read_state_dict,
    respell,
)
from sceval.models.uce import genome

if TYPE_CHECKING:
    from torch import Tensor

    from sceval.models.uce.network import Config

#: In the official folder too, but not needed: the checkpoint has the token table.
NOT_A_CHECKPOINT = "all_tokens.torch"
TABLE = "pe_embedding.weight"
LAYOUT = (
    f"a UCE checkpoint is a folder with 4layer_model.torch or 33l_8ep_1024t_1280.torch, {genome.CHROMOSOMES}, "
    f"{genome.OFFSETS} and {genome.PROTEINS}/"
)


def weight_file(folder: Path, chosen: str = "") -> Path:
    """Return the checkpoint of a folder.

    Parameters
    ----------
    folder
        The official folder.
    chosen
        Name of the file, where the folder has several.

    Raises
    ------
    CheckpointError
        None, or several and none chosen.
    """
    if chosen:
        if not (folder / chosen).is_file():
            raise CheckpointError(f"{folder}: no {chosen} (parameter model_file)")
        return folder / chosen
    found = sorted(path for path in folder.glob("*.torch") if path.name != NOT_A_CHECKPOINT)
    if len(found) != 1:
        what = "no checkpoint" if not found else f"several checkpoints ({', '.join(path.name for path in found)})"
        hint = f"; {LAYOUT}" if not found else "; their vectors cannot be compared, choose one: parameter model_file"
        raise CheckpointError(f"{folder}: {what}{hint}")
    return found[0]


def _widths(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Return the widths behind the blocks of a decoder and behind its plain last layer."""
    blocks = sorted(int(m[1]) for key in tensors if (m := re.fullmatch(rf"{name}\.(\d+)\.0\.weight", key)))
    last = f"{name}.{len(blocks)}.weight"
    return (*(int(tensors[f"{name}.{i}.0.weight"].shape[0]) for i in blocks), int(tensors[last].shape[0]))


def config_from_tensors(tensors: Mapping[str, Tensor], n_heads: int) -> Config:
    """Describe the network of a file; all sizes but the heads are the shapes of its tensors.

    Raises
    ------
    KeyError
        A tensor that every UCE file has is missing.
    ValueError
        The width is not divisible by the heads.
    """
    from sceval.models.uce.network import Config

    layers = [int(m[1]) for key in tensors if (m := re.match(r"transformer_encoder\.layers\.(\d+)\.", key))]
    d_model, token_dim = tensors["encoder.0.weight"].shape
    return Config(
        token_dim=int(token_dim),
        d_model=int(d_model),
        n_layers=max(layers, default=-1) + 1,
        n_heads=n_heads,
        d_ff=int(tensors["transformer_encoder.layers.0.linear1.weight"].shape[0]),
        decoder=_widths(tensors, "decoder"),
        binary_decoder=_widths(tensors, "binary_decoder"),
        n_positions=int(tensors["pos_encoder.pe"].shape[0]),
    )


def load(folder: Path, settings: dict[str, Any], seed: int) -> Loaded:
    """Load an official folder as it comes.

    Parameters
    ----------
    folder
        See :data:`LAYOUT`.
    settings
        `model_file` (where there are several), `n_heads` (20), `chromosome_offset` (0 = worked out).
    seed
        Not used: the file holds every tensor.

    Raises
    ------
    CheckpointError
        A file is missing or damaged, tensors do not match (all are listed), or the files do not belong together.
    """
    from sceval.models.uce.network import Network

    folder = Path(folder)
    path = weight_file(folder, str(settings.get("model_file", "")))
    tensors = respell(read_state_dict(path), lambda key: key.removeprefix("module."), path)
    try:
        config = config_from_tensors(tensors, int(settings.get("n_heads", 20)))
        table = tensors[TABLE]
    except KeyError as error:
        raise CheckpointError(
            f"{path}: no tensor {error.args[0]}; this is no UCE file (it begins with {', '.join(list(tensors)[:3])})"
        ) from error
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if table.ndim != 2 or table.shape[1] != config.token_dim:
        raise CheckpointError(
            f"{path}: {TABLE} has vectors of {table.shape[-1]}, encoder.0.weight takes {config.token_dim}"
        )
    vocabulary = genome.read_vocabulary(folder, int(table.shape[0]), int(settings.get("chromosome_offset", 0)))
    network = Network(config, table)
    report = fill(network, tensors, where=path, files=(path,))
    return Loaded(network.eval(), vocabulary, report)


def known_genes(folder: Path) -> Iterable[str]:
    """Return the symbols of the human and mouse protein files."""
    return genome.known_genes(Path(folder))
