"""`sceval-model` of MultiVI (RNA and peaks, also mosaic) and totalVI (RNA and proteins), by the package scvi-tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from sceval.contract.results import Embedding
from sceval.data.hvg import highly_variable_genes
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.scvi.cells import to_anndata
from sceval.models.scvi.fit import epochs_for, fitting_size, held_out, package, train

if TYPE_CHECKING:
    import anndata

INFO = Info(
    name="multivi",
    title="MultiVI and totalVI",
    version="1.0.0",
    verbs=("integrate",),
    regimes={"integrate": ("scratch",)},
    gpu="optional",
    memory_mb=4000,
    licence="BSD-3-Clause (scvi-tools)",
    citation="Ashuach et al. 2023, Nat Methods 20:1222 (MultiVI); Gayoso et al. 2021, Nat Methods 18:272 (totalVI)",
    params=(
        Param("n_hvg", 2000, "Variable genes; all where there are no more.", low=2, high=100_000),
        Param("n_peaks", 20000, "Peaks open in the most cells; all where there are no more.", low=2, high=1_000_000),
        Param("n_latent", 20, "Latent dimensions.", low=1, high=1000),
        Param("max_epochs", 200, "Epochs at most; above 20,000 cells fewer, in proportion.", low=1, high=10_000),
        Param(
            "patience",
            20,
            "Epochs without a better validation ELBO after which totalVI ends; MultiVI waits 50.",
            low=1,
            high=10_000,
        ),
        Param("batch_size", 128, "Cells in a mini-batch.", low=3, high=100_000),
        Param("lr", 2e-3, "Learning rate.", low=1e-7, high=1.0),
    ),
    uses_code_of=("scvi",),
)


def _check(request: Request) -> tuple[np.ndarray, str]:
    """Return the modality of each feature and the one beside RNA.

    Raises
    ------
    NotApplicable
        If there are not both RNA and another, or a row of proteins has no RNA.
    """
    view = request.view
    if "modality" not in view.var:
        msg = "this view has one gene space (scVI integrates that); MultiVI and totalVI need features of two modalities"
        raise NotApplicable(msg)
    kinds = view.var["modality"].astype(str)
    other = sorted(set(kinds) - {"rna"})
    if "rna" not in kinds or len(other) != 1:
        msg = f"RNA and one other modality are needed; the features are of {', '.join(sorted(set(kinds)))}"
        raise NotApplicable(msg)
    if other[0] == "protein" and (view.obs["modality"] != "paired").any():
        msg = "totalVI needs RNA and proteins in every cell, and some rows of this view have one only"
        raise NotApplicable(msg)
    return kinds, other[0]


def _cells(request: Request, order: np.ndarray, kinds: np.ndarray, other: str) -> tuple[anndata.AnnData, int, int]:
    """Return the cells as scvi-tools takes them (genes, then peaks; proteins in obsm), and how many of each."""
    view, params = request.view, request.params
    X = sparse.csr_matrix(view.X)[order]
    genes = np.flatnonzero(kinds == "rna")
    if len(genes) > params["n_hvg"]:
        genes = genes[highly_variable_genes(X[:, genes], params["n_hvg"])]
    features = np.flatnonzero(kinds == other)
    if other == "peak" and len(features) > params["n_peaks"]:
        open_in = np.asarray((X[:, features] > 0).sum(axis=0)).ravel()
        features = np.sort(features[np.argsort(-open_in, kind="stable")[: params["n_peaks"]]])
    batch = view.obs["batch"][order].astype(str) if "batch" in view.obs else None
    columns = np.concatenate([genes, features]) if other == "peak" else genes
    cells = to_anndata(X[:, columns], view.obs_names[order], batch, None)
    if other == "protein":
        cells.obsm["protein"] = X[:, features].toarray()
        cells.uns["proteins"] = [str(name) for name in view.var_names[features]]
    return cells, len(genes), len(features)


def integrate(request: Request) -> Embedding:
    """Embed cells by the mean of the posterior of MultiVI or totalVI, with the batch as covariate."""
    kinds, other = _check(request)
    order = np.argsort(request.view.obs_names.astype(str), kind="stable")
    cells, n_genes, n_features = _cells(request, order, kinds, other)
    split = held_out(request, order, cells.obs["batch"].to_numpy() if "batch" in cells.obs else None)
    params = request.params
    with package(request):
        import scvi

        batch = "batch" if "batch" in cells.obs else None
        if other == "peak":
            import mudata

            parts = {"rna": cells[:, :n_genes].copy(), "atac": cells[:, n_genes:].copy()}
            both = mudata.MuData(parts)
            both.obs = cells.obs
            scvi.model.MULTIVI.setup_mudata(
                both, batch_key=batch, modalities={"rna_layer": "rna", "atac_layer": "atac"}
            )
            model = scvi.model.MULTIVI(both, n_genes=n_genes, n_regions=n_features, n_latent=params["n_latent"])
        else:
            scvi.model.TOTALVI.setup_anndata(
                cells, protein_expression_obsm_key="protein", protein_names_uns_key="proteins", batch_key=batch
            )
            model = scvi.model.TOTALVI(cells, n_latent=params["n_latent"])
        train(
            model,
            request,
            split,
            name="multivi" if other == "peak" else "totalvi",
            epochs=epochs_for(cells.n_obs, params["max_epochs"]),
            patience=params["patience"],
            batch_size=fitting_size(params["batch_size"], [len(split[0])]),
            monitor="reconstruction_loss_validation" if other == "peak" else "elbo_validation",
            own_stopping=other == "peak",  # MultiVI waits 50 epochs, whatever is asked
            check_val_every_n_epoch=1,
            lr=params["lr"],
        )
        latent = model.get_latent_representation()
    request.facts |= {"genes_used": n_genes, "features_used": n_features}
    out = np.empty((request.view.n_obs, latent.shape[1]), np.float32)
    out[order] = latent
    return Embedding(out)


main = program(INFO, {"integrate": integrate})
