"""Reads what the official training writes: a folder with mask, pathways, labels and one file of weights per epoch."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sceval.models.tosica.network import Tosica, TosicaConfig
from sceval.models.tosica.pathways import Pathways


class ProjectError(ValueError):
    """A project folder that cannot be read."""


@dataclass(frozen=True)
class Project:
    """A trained network in evaluation mode, its pathways and the names of its classes."""

    network: Tosica
    pathways: Pathways
    classes: list[str]


def _second_column(path: Path) -> list[str]:
    with path.open(newline="") as handle:
        return [row[1] for row in list(csv.reader(handle))[1:]]


def read_project(folder: str | Path, epoch: int | None = None, **settings: float | str) -> Project:
    """Read a project folder.

    Parameters
    ----------
    folder
        With `mask.npy`, `pathway.csv`, `label_dictionary.csv`, `model-<epoch>.pth`.
    epoch
        Whose weights; the last by default.
    **settings
        Fields of :class:`TosicaConfig` that the files do not tell (rates; `layout`, `official` by default).

    Raises
    ------
    ProjectError
        A file is missing, or a tensor is missing, unknown or of another shape; the message lists all of them.
    """
    folder = Path(folder)
    found = {int(path.stem.split("-")[1]): path for path in folder.glob("model-*.pth")}
    chosen = found.get(max(found, default=-1) if epoch is None else epoch)
    wanted = [folder / name for name in ("mask.npy", "pathway.csv", "label_dictionary.csv")]
    absent = [path.name for path in wanted if not path.is_file()] + ([] if chosen else ["model-<epoch>.pth"])
    if absent:
        msg = f"{folder}: no {', no '.join(absent)}; expected the folder that TOSICA's training wrote"
        raise ProjectError(msg)
    mask = np.load(wanted[0], allow_pickle=False).astype(np.int8)
    pathways = Pathways(mask, _second_column(wanted[1]))
    classes = _second_column(wanted[2])
    tensors = torch.load(chosen, map_location="cpu", weights_only=True)
    width = tensors["cls_token"].shape[-1] if "cls_token" in tensors else 48
    depth = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    config = TosicaConfig(*mask.shape, len(classes), width=width, depth=depth, **({"layout": "official"} | settings))
    network = Tosica(mask, config)
    own = network.state_dict()
    wrong = [f"{name}: missing" for name in own if name not in tensors]
    wrong += [f"{name}: unknown" for name in tensors if name not in own]
    wrong += [
        f"{name}: {tuple(tensors[name].shape)} in the file, {tuple(value.shape)} needed"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if wrong:
        raise ProjectError(f"{chosen}: {len(wrong)} tensors do not match:\n  " + "\n  ".join(wrong))
    network.load_state_dict(tensors)
    return Project(network.eval(), pathways, classes)
