"""A network for one reference: built, trained, asked about the query."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sceval.models.tosica.network import Tosica, TosicaConfig
from sceval.models.tosica.train import Prediction, TrainSettings, predict
from sceval.models.tosica.train import train as train_network
from sceval.training.device import choose_device
from sceval.training.loop import Progress
from sceval.training.seed import derive_seed, seed_everything


@dataclass(frozen=True)
class Classified:
    """The prediction for the query, the trained network, and what happened."""

    prediction: Prediction
    network: Tosica
    facts: dict[str, Any]


def classify(
    reference: sparse.csr_matrix,
    codes: np.ndarray,
    query: sparse.csr_matrix,
    mask: np.ndarray,
    n_classes: int,
    *,
    train: np.ndarray,
    held: np.ndarray,
    params: dict[str, Any],
    seed: int = 0,
    device: str = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Classified:
    """Train on the reference and predict the query.

    Parameters
    ----------
    reference, query
        Log-normalized expression, cells x genes, float32.
    codes
        Class of each reference cell.
    mask
        Genes x pathway tokens.
    n_classes
        Number of classes.
    train, held
        Rows of the reference that train (some several times) and that pick the epoch (maybe none).
    params
        Hyper-parameters by the names in the program.
    seed
        Seeds weights, dropout and the order of the cells.
    """
    place = choose_device(device)
    seed_everything(derive_seed(seed, "tosica"))
    config = TosicaConfig(
        *mask.shape,
        n_classes,
        width=params["width"],
        depth=params["depth"],
        n_heads=params["n_heads"],
        dropout=params["dropout"],
        attention_dropout=params["dropout"],
        drop_path=params["dropout"],
        layout=params["token_layout"],
    )
    network = Tosica(mask, config).to(place)
    history = train_network(
        network,
        torch.from_numpy(reference.toarray()).to(place),
        torch.from_numpy(np.asarray(codes, np.int64)).to(place),
        train,
        held,
        TrainSettings(params["epochs"], params["batch_size"], params["lr"], params["patience"], params["optimizer"]),
        seed=seed,
        on_progress=on_progress,
    )
    facts = {"device": place.type, "best_epoch": history.best_epoch + 1, "epochs_run": len(history.train)}
    return Classified(predict(network, torch.from_numpy(query.toarray()).to(place)), network, facts)
