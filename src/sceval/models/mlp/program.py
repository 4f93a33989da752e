"""`sceval-model` of the multilayer perceptron."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Annotation
from sceval.models.logreg.features import features
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import Reference, reference
from sceval.models.request import Info, Request

INFO = Info(
    name="mlp",
    title="Multilayer perceptron",
    version="1.0.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    uses_labels=("annotate",),
    gpu="optional",
    memory_mb=3000,
    citation="Rumelhart, Hinton, Williams 1986, Nature 323:533",
    params=(
        Param("n_hvg", 2000, "Variable genes; all that vary where there are fewer.", 2, 100_000),
        Param("hidden", 256, "Width of the first hidden layer; the second is half as wide.", 2, 8192),
        Param("dropout", 0.3, "Dropout after each hidden layer.", 0, 0.95),
        Param("epochs", 100, "Most epochs.", 1, 10_000),
        Param("patience", 10, "Epochs without a better validation value before the end.", 1, 1000),
        Param("batch_size", 64, "Cells of a mini-batch.", 2, 100_000),
        Param("lr", 1e-3, "Learning rate of AdamW.", 1e-8, 1.0),
        Param("weight_decay", 1e-2, "Weight decay of AdamW.", 0, 10.0),
        Param(
            "validation_fraction",
            0.1,
            "Share of the reference that picks the epoch where the view has no part.",
            0,
            0.9,
        ),
    ),
    uses_code_of=("logreg",),
)


def _parts(request: Request, cells: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation rows, as positions among the reference cells."""
    from sceval.training.batching import holdout_split

    if "part" in request.view.obs:
        held = request.part("validation")[cells.rows]
        if held.any() and not held.all():
            return np.flatnonzero(~held), np.flatnonzero(held)
    share = request.params["validation_fraction"]
    return holdout_split(np.arange(len(cells.rows)), share, seed=request.seed, strata=cells.codes)


def annotate(request: Request) -> Annotation:
    """Label query cells by a perceptron on standardized log CP10k; the epoch is chosen on validation cells."""
    cells = reference(request)
    train, held = _parts(request, cells)
    found = features(request, cells, request.params["n_hvg"], fit=train)

    from sceval.models.mlp.network import classify
    from sceval.training.device import choose_device
    from sceval.training.progress import ProgressLines

    p = request.params
    names = ("dropout", "epochs", "patience", "batch_size", "lr", "weight_decay")
    probability, history = classify(
        found.known,
        cells.codes,
        found.query,
        len(cells.classes),
        train,
        held,
        hidden=(p["hidden"], p["hidden"] // 2),
        seed=request.seed,
        device=request.device,
        on_progress=ProgressLines("mlp"),
        **{name: p[name] for name in names},
    )
    request.facts |= {
        "device": choose_device(request.device).type,
        "genes_used": len(found.genes),
        "best_epoch": history.best_epoch + 1,
        "epochs_run": len(history.train),
    }
    return Annotation(cells.query, cells.classes, probability)


main = program(INFO, {"annotate": annotate})
