"""`sceval-model` of scANVI, by the package scvi-tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sceval.contract.results import Annotation, Embedding
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import reference
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.scvi.cells import gather, need_batches
from sceval.models.scvi.fit import PARAMS, epochs_for, fit_scvi, fitting_size, held_out, package, train
from sceval.models.scvi.program import N_HVG

if TYPE_CHECKING:
    import anndata
    import scvi

INFO = Info(
    name="scanvi",
    title="scANVI",
    version="1.0.0",
    verbs=("integrate", "annotate"),
    regimes={"integrate": ("scratch",), "annotate": ("scratch",)},
    uses_labels=("integrate", "annotate"),
    gpu="optional",
    memory_mb=4000,
    licence="BSD-3-Clause (scvi-tools)",
    citation="Xu et al. 2021, Mol Syst Biol 17:e9620; scvi-tools: Gayoso et al. 2022, Nat Biotechnol 40:163",
    params=(
        N_HVG,
        Param(
            "scanvi_epochs",
            100,
            "Epochs with labels at most, after scVI's; above 20,000 cells fewer.",
            low=1,
            high=10_000,
        ),
        Param("n_samples_per_label", 100, "Labelled cells of each class in an epoch, at most.", low=1, high=1_000_000),
        *PARAMS,
    ),
    uses_code_of=("scvi",),
)


def _unlike(labels: np.ndarray) -> str:
    """Return a name for `no label` that is no label."""
    name = "unlabelled"
    while name in labels:
        name += "_"
    return name


def fit_scanvi(
    request: Request, cells: anndata.AnnData, split: tuple[np.ndarray, np.ndarray], unlabelled: str
) -> scvi.model.SCANVI:
    """Train scVI, then scANVI from it, on counts with the column `labels` and an optional column `batch`."""
    import scvi
    from scvi.train._callbacks import SubSampleLabels

    labels = cells.obs["labels"].to_numpy().astype(str)
    seen = labels[split[0]]
    most = request.params["n_samples_per_label"]
    in_an_epoch = int(np.minimum(np.unique(seen[seen != unlabelled], return_counts=True)[1], most).sum())
    size = fitting_size(request.params["batch_size"], [len(split[0]), in_an_epoch])
    plain = fit_scvi(request, cells, split)
    model = scvi.model.SCANVI.from_scvi_model(plain, unlabeled_category=unlabelled, labels_key="labels")
    train(
        model,
        request,
        split,
        name="scanvi",
        epochs=epochs_for(cells.n_obs, request.params["scanvi_epochs"]),
        patience=request.params["patience"],
        batch_size=size,
        # With the classification loss, unlike the ELBO.
        monitor="validation_loss",
        # With callbacks of ours the package forgets its own, which draws the labelled cells anew in each epoch.
        callbacks=[SubSampleLabels()],
        n_samples_per_label=most,
        check_val_every_n_epoch=1,
    )
    return model


def integrate(request: Request) -> Embedding:
    """Embed cells by the mean of scANVI's posterior, with batch and the labels that the view shows."""
    need_batches(request, "scANVI")
    if "cell_type" not in request.view.obs:
        msg = "scANVI learns from labels and this view shows none (no column `cell_type` in obs); scVI does without"
        raise NotApplicable(msg)
    cells = gather(request, request.params["n_hvg"])
    given = request.view.obs["cell_type"][cells.rows]
    known = np.array([label is not None for label in given], bool)
    classes = np.unique(given[known].astype(str))
    if len(classes) < 2:
        msg = f"the view shows labels of {len(classes)} class(es); scANVI needs at least two"
        raise NotApplicable(msg)
    unlabelled = _unlike(classes)
    labels = np.where(known, given, unlabelled).astype(str)
    request.facts["labelled_cells"] = int(known.sum())
    if len(cells.empty):
        request.warn(f"{len(cells.empty)} cells have no count in the genes used: rows of NaN")
    split = held_out(request, cells.rows, labels)
    with package(request):
        model = fit_scanvi(request, cells.anndata(labels), split, unlabelled)
        latent = model.get_latent_representation()
    return Embedding(cells.spread(latent, request.view.n_obs))


def annotate(request: Request) -> Annotation:
    """Label query cells by scANVI's classifier, trained on reference cells alone."""
    view = request.view
    known = reference(request)
    fitted = np.zeros(view.n_obs, bool)
    fitted[known.rows] = True
    cells = gather(request, request.params["n_hvg"], fitted)
    label_of = np.full(view.n_obs, "", object)
    label_of[known.rows] = known.classes[known.codes]
    labels = label_of[cells.rows]
    unlabelled = _unlike(known.classes)
    inside, asked = np.flatnonzero(fitted[cells.rows]), np.flatnonzero(np.isin(cells.rows, known.query))
    split = held_out(request, cells.rows[inside], labels[inside])
    with package(request):
        reference_cells = cells.anndata(labels, inside)
        model = fit_scanvi(request, reference_cells, split, unlabelled)
        query = cells.anndata(np.full(len(labels), unlabelled, object), asked)
        if cells.batch is not None:
            batches = np.unique(cells.batch[inside])
            new = ~np.isin(cells.batch[asked], batches)
            # The encoder and the classifier do not see the batch, so that its name here changes no prediction.
            query.obs["batch"] = np.where(new, batches[0], cells.batch[asked])
        found = model.predict(query, soft=True)[list(known.classes)].to_numpy()
    probability = np.tile(known.prior, (len(known.query), 1))
    where = np.full(view.n_obs, -1)
    where[cells.rows[asked]] = np.arange(len(asked))
    place = where[known.query]
    probability[place >= 0] = found[place[place >= 0]]
    probability /= probability.sum(axis=1, keepdims=True)
    if missing := int((place < 0).sum()):
        request.warn(f"{missing} query cells have no count in the genes used and got the shares of the reference")
    return Annotation(known.query, known.classes, probability)


main = program(INFO, {"integrate": integrate, "annotate": annotate})
