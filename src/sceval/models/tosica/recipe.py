"""Training settings by name."""

from __future__ import annotations

from typing import Any

from sceval.models.params import Param

RECIPES: dict[str, dict[str, Any]] = {
    "official": {"epochs": 10, "batch_size": 8, "lr": 1e-3, "optimizer": "sgd", "dropout": 0.5, "patience": 0},
    "small": {"epochs": 12, "batch_size": 32, "lr": 2e-3, "optimizer": "adamw", "dropout": 0.1, "patience": 3},
}
"""`official` is the published setting, made for 10,000 cells and more; few cells give it too few steps to learn by."""

LARGE = 10_000
"""From so many training draws on `auto` takes the official recipe."""

PARAMS = (
    Param(
        "recipe",
        "auto",
        f"Source of the six parameters after it: `official`, `small`; `auto`: official from {LARGE} training cells.",
        choices=("auto", *RECIPES),
    ),
    Param("epochs", 0, "Most epochs; 0: as the recipe has it.", 0, 10_000),
    Param("batch_size", 0, "Cells of a mini-batch; 0: as the recipe has it.", 0, 10_000),
    Param("lr", 0.0, "Learning rate of the first epoch; 0: as the recipe has it.", 0, 10.0),
    Param("optimizer", "recipe", "`sgd`, `adamw`, or as the recipe has it.", choices=("recipe", "sgd", "adamw")),
    Param(
        "dropout",
        -1.0,
        "Dropout of the blocks, on attention weights too, and stochastic depth of the last; -1: as the recipe has it.",
        -1,
        0.95,
    ),
    Param(
        "patience", -1, "Epochs without a better value before the end, 0: never; -1: as the recipe has it.", -1, 1000
    ),
)

_BY_RECIPE = {"epochs": 0, "batch_size": 0, "lr": 0.0, "optimizer": "recipe", "dropout": -1.0, "patience": -1}


def resolve(params: dict[str, Any], n_train: int) -> tuple[str, dict[str, Any]]:
    """Return the name of the recipe and its values, those given by the user in their place.

    Parameters
    ----------
    params
        Hyper-parameters by the names of `PARAMS`.
    n_train
        Training rows, resampled ones counted.
    """
    name = params["recipe"]
    if name == "auto":
        name = "official" if n_train >= LARGE else "small"
    return name, {key: value if params[key] == _BY_RECIPE[key] else params[key] for key, value in RECIPES[name].items()}
