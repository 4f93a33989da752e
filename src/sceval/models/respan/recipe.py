"""Training settings by name."""

from __future__ import annotations

from typing import Any

from sceval.models.params import Param

RECIPES: dict[str, dict[str, Any]] = {
    "official": {"epochs": 300, "batch_size": 1024, "pairs_per_epoch": 10_240, "lr": 1e-4, "hidden": 1024},
    "small": {"epochs": 40, "batch_size": 256, "pairs_per_epoch": 2560, "lr": 1e-3, "hidden": 128},
}
"""`official` is the published setting, minutes on a GPU and hours on two cores; `small` is for those."""

PARAMS = (
    Param(
        "recipe",
        "auto",
        "Where the five parameters after it come from: `official`, `small`; `auto`: official on CUDA, small on a CPU.",
        choices=("auto", *RECIPES),
    ),
    Param("epochs", 0, "Passes over the pairs, for each batch; 0: as the recipe has it.", 0, 100_000),
    Param("batch_size", 0, "Pairs of a mini-batch; 0: as the recipe has it.", 0, 100_000),
    Param("pairs_per_epoch", 0, "Most pairs of an epoch; 0: as the recipe has it.", 0, 10_000_000),
    Param("lr", 0.0, "Learning rate of both networks; 0: as the recipe has it.", 0, 1.0),
    Param("hidden", 0, "Width of the outermost hidden layers, from 8; 0: as the recipe has it.", 0, 8192),
)


def resolve(params: dict[str, Any], device: str) -> tuple[str, dict[str, Any]]:
    """Return the name of the recipe and its values, those given by the user in their place.

    Parameters
    ----------
    params
        Hyper-parameters by the names of `PARAMS`.
    device
        `cpu` or `cuda`.
    """
    name = params["recipe"]
    if name == "auto":
        name = "official" if device == "cuda" else "small"
    return name, {key: params[key] or value for key, value in RECIPES[name].items()}
