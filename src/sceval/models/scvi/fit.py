"""Training of scvi-tools models: quiet, seeded, nothing on disk, and the best epoch on held-out cells is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from sceval.models.params import Param
from sceval.models.quiet import quiet
from sceval.models.request import NotApplicable, Request
from sceval.training.batching import holdout_split

if TYPE_CHECKING:
    import anndata
    import scvi

PARAMS = (
    Param("n_latent", 30, "Latent dimensions.", low=1, high=1000),
    Param("n_layers", 2, "Hidden layers of encoder and decoder.", low=1, high=10),
    Param("n_hidden", 128, "Width of the hidden layers.", low=1, high=10_000),
    Param("dropout", 0.1, "Dropout in the encoder.", low=0.0, high=0.9),
    Param("gene_likelihood", "nb", "Distribution of counts.", choices=("nb", "zinb", "poisson")),
    Param("max_epochs", 400, "Epochs at most; above 20,000 cells fewer, in proportion.", low=1, high=10_000),
    Param("patience", 30, "Epochs without a better validation ELBO after which training ends.", low=1, high=10_000),
    Param("batch_size", 128, "Cells in a mini-batch.", low=3, high=100_000),
    Param("lr", 1e-3, "Learning rate.", low=1e-7, high=1.0),
)

HELD_OUT = 0.1
"""Share of cells that choose the epoch where the view names no validation part."""


@contextmanager
def package(request: Request) -> Iterator[str]:
    """Import scvi-tools, seed it, and give the device: `cpu` or `cuda`. All of its work belongs into this block."""
    with quiet():
        import scvi

        from sceval.training.device import choose_device

        device = choose_device(request.device).type
        scvi.settings.seed = request.seed % 2**32
        if device == "cuda":
            from sceval.training.seed import seed_everything

            seed_everything(request.seed % 2**32)
        request.facts["device"] = device
        yield device
    if device == "cuda":
        import torch

        request.facts["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)


def held_out(request: Request, rows: np.ndarray, strata: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Split positions within `rows` into training cells and those that choose the epoch.

    The view's part `validation` is held out where it has one, else a tenth of the cells of each stratum.

    Parameters
    ----------
    rows
        Positions in the view, in an order that the file does not decide.
    strata
        Label or batch of each of `rows`, or None.
    """
    validation = request.part("validation")[rows] if "part" in request.view.obs else np.zeros(len(rows), bool)
    if validation.any() and not validation.all():
        return np.flatnonzero(~validation), np.flatnonzero(validation)
    codes = None if strata is None else np.unique(strata.astype(str), return_inverse=True)[1]
    train, held = holdout_split(np.arange(len(rows)), HELD_OUT, seed=request.seed, strata=codes)
    return np.sort(train), np.sort(held)


def fitting_size(wanted: int, counts: Sequence[int]) -> int:
    """Return the largest mini-batch up to `wanted` that leaves no rest of one or two cells in any of the counts.

    Batch normalization fails on a mini-batch of one cell and is noise on one of two.

    Raises
    ------
    NotApplicable
        If there is none: some count is below 3.
    """
    for size in range(wanted, 2, -1):
        if all(count % size not in (1, 2) for count in counts):
            return size
    msg = f"training sets of {', '.join(map(str, counts))} cells; scVI needs at least 3 cells in each"
    raise NotApplicable(msg)


def epochs_for(n: int, most: int) -> int:
    """Return scvi-tools' number of epochs for n cells: `most` up to 20,000 cells, above that fewer in proportion."""
    return max(1, min(round(20_000 / n * most), most))


def _keeper(monitor: str) -> Any:
    """Return a callback that remembers the weights of the epoch with the smallest monitored value."""
    from lightning.pytorch.callbacks import Callback

    class Keeper(Callback):
        value, epoch, epochs, state = float("inf"), 0, 0, None

        def on_validation_end(self, trainer: Any, plan: Any) -> None:
            value = float(trainer.callback_metrics[monitor])
            self.epochs = trainer.current_epoch + 1
            if np.isfinite(value) and value < self.value:
                self.value, self.epoch = value, self.epochs
                self.state = {name: tensor.detach().clone() for name, tensor in plan.module.state_dict().items()}

    return Keeper()


def train(
    model: scvi.model.SCVI | scvi.model.SCANVI,
    request: Request,
    split: tuple[np.ndarray, np.ndarray],
    *,
    name: str,
    epochs: int,
    patience: int,
    batch_size: int,
    monitor: str = "elbo_validation",
    callbacks: Sequence[Any] = (),
    own_stopping: bool = False,
    **options: Any,
) -> None:
    """Train a model of scvi-tools and leave it with the weights of its best epoch.

    Parameters
    ----------
    split
        Positions of training and of held-out cells in the model's AnnData.
    name
        Prefix of what goes into the facts: epochs, best epoch, best value.
    own_stopping
        Whether the model itself decides what it watches to end early and how long it waits, so that it cannot be told.

    Raises
    ------
    RuntimeError
        If no epoch gave a finite value.
    """
    keeper = _keeper(monitor)
    cut = [*split, np.empty(0, int)]
    own_indexing = "external_indexing" in signature(model.train).parameters  # totalVI
    stopping = {} if own_stopping else {"early_stopping_monitor": monitor, "early_stopping_patience": patience}
    with tempfile.TemporaryDirectory() as folder:
        model.train(
            max_epochs=epochs,
            batch_size=batch_size,
            accelerator="gpu" if request.facts["device"] == "cuda" else "cpu",
            devices=1,
            early_stopping=True,
            plan_kwargs={"lr": request.params["lr"]},
            callbacks=[keeper, *callbacks],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=folder,
            **stopping,
            **({"external_indexing": cut} if own_indexing else {"datasplitter_kwargs": {"external_indexing": cut}}),
            **options,
        )
    if keeper.state is None:
        msg = f"{name}: {monitor} was not finite in any of {keeper.epochs} epochs; a smaller lr may help"
        raise RuntimeError(msg)
    model.module.load_state_dict(keeper.state)
    request.facts |= {
        f"{name}_epochs": keeper.epochs,
        f"{name}_best_epoch": keeper.epoch,
        f"{name}_{monitor}": round(keeper.value, 6),
    }
    if keeper.epoch == epochs:
        request.warn(f"{name}: the last of {epochs} allowed epochs was the best; more may do better")


def fit_scvi(request: Request, cells: anndata.AnnData, split: tuple[np.ndarray, np.ndarray]) -> scvi.model.SCVI:
    """Train scVI (Lopez et al. 2018, Nat Methods 15:1053) on counts with an optional column `batch`."""
    import scvi

    params = request.params
    scvi.model.SCVI.setup_anndata(cells, batch_key="batch" if "batch" in cells.obs else None)
    model = scvi.model.SCVI(
        cells,
        n_hidden=params["n_hidden"],
        n_latent=params["n_latent"],
        n_layers=params["n_layers"],
        dropout_rate=params["dropout"],
        gene_likelihood=params["gene_likelihood"],
    )
    train(
        model,
        request,
        split,
        name="scvi",
        epochs=epochs_for(cells.n_obs, params["max_epochs"]),
        patience=params["patience"],
        batch_size=fitting_size(params["batch_size"], [len(split[0])]),
    )
    return model
