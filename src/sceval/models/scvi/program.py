"""`sceval-model` of scVI, by the package scvi-tools."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract.results import Embedding, Imputed, Simulated
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.scvi.cells import Cells, gather, need_batches, to_anndata
from sceval.models.scvi.fit import PARAMS, fit_scvi, held_out, package
from sceval.training.seed import derive_seed

N_HVG = Param(
    "n_hvg", 2000, "Variable genes, chosen batch by batch; all genes where there are no more.", low=2, high=100_000
)

INFO = Info(
    name="scvi",
    title="scVI",
    version="1.0.0",
    verbs=("integrate", "impute", "simulate"),
    regimes={"integrate": ("scratch",), "impute": ("scratch",), "simulate": ("scratch",)},
    uses_labels=("simulate",),
    gpu="optional",
    memory_mb=4000,
    licence="BSD-3-Clause (scvi-tools)",
    citation="Lopez et al. 2018, Nat Methods 15:1053; scvi-tools: Gayoso et al. 2022, Nat Biotechnol 40:163",
    params=(
        N_HVG,
        Param("n_samples", 10, "Draws from the posterior that expected expression is averaged over.", low=1, high=1000),
        *PARAMS,
    ),
)

LARGEST_CORRECTED = 20_000_000
"""Corrected expression is a dense matrix; with more values than these it is left out."""


def corrected(request: Request, cells: Cells, model: object) -> np.ndarray | None:
    """Return log(1 + expression per 10,000), averaged as if each cell were measured in every batch.

    None where not all genes are modelled, a cell is empty, or the dense matrix would be too large.
    """
    view = request.view
    if len(cells.genes) < view.n_vars:
        return None
    if view.n_obs * view.n_vars > LARGEST_CORRECTED:
        request.warn(f"no corrected expression: {view.n_obs} x {view.n_vars} values are too many for a dense matrix")
        return None
    if len(cells.empty):
        return None
    values = model.get_normalized_expression(
        transform_batch=[str(name) for name in np.unique(cells.batch)],
        library_size=1e4,
        n_samples=request.params["n_samples"],
        return_numpy=True,
    )
    out = np.empty((view.n_obs, view.n_vars), np.float32)
    out[np.ix_(cells.rows, cells.genes)] = np.log1p(values)
    return out


def integrate(request: Request) -> Embedding:
    """Embed cells by the mean of scVI's posterior, with the batch as covariate."""
    need_batches(request, "scVI")
    cells = gather(request, request.params["n_hvg"])
    if len(cells.empty):
        request.warn(f"{len(cells.empty)} cells have no count in the genes used: rows of NaN, no corrected expression")
    split = held_out(request, cells.rows, cells.batch)
    with package(request):
        model = fit_scvi(request, cells.anndata(), split)
        latent = model.get_latent_representation()
        values = corrected(request, cells, model)
    return Embedding(cells.spread(latent, request.view.n_obs), corrected=values)


def impute(request: Request) -> Imputed:
    """Give the expected counts of every gene at the depth of each cell, by scVI's decoder."""
    view = request.view
    if "modality" in view.obs and (view.obs["modality"].astype(str) == "spatial").any():
        msg = "scVI denoises counts that were measured; genes that spots do not measure it cannot predict"
        raise NotApplicable(msg)
    cells = gather(request, None)
    split = held_out(request, cells.rows, cells.batch)
    with package(request):
        model = fit_scvi(request, cells.anndata(), split)
        rate = model.get_normalized_expression(
            library_size="latent", n_samples=request.params["n_samples"], return_numpy=True
        )
    if len(cells.empty):
        request.warn(f"{len(cells.empty)} cells have no count: depth 0, so every expected count is 0")
    out = np.zeros((view.n_obs, view.n_vars), np.float32)
    out[np.ix_(cells.rows, cells.genes)] = rate
    return Imputed(np.arange(view.n_obs), out)


def _sources(
    types: np.ndarray, batches: np.ndarray | None, kind: str, batch: str | None, n: int, seed: int
) -> np.ndarray:
    """Draw the cells whose posterior a group of new cells comes from: of the type, and of the batch if it has any."""
    able = types == kind
    if not able.any():
        known = ", ".join(sorted(set(types)))
        msg = f"{n} new cells of type {kind!r} are asked for and the view has no such cell; it has {known}"
        raise NotApplicable(msg)
    if batch is not None and (able & (batches == batch)).any():
        able &= batches == batch
    return np.random.default_rng(derive_seed(seed, "simulate", kind, batch)).choice(np.flatnonzero(able), n)


def simulate(request: Request) -> Simulated:
    """Draw new cells from scVI's posterior predictive distribution, type by type and batch by batch."""
    view = request.view
    wanted = view.uns.get("simulation")
    if not wanted or "cell_type" not in view.obs:
        msg = "simulation needs the labels of the cells (obs `cell_type`) and the groups wanted (uns `simulation`)"
        raise NotApplicable(msg)
    kinds = np.atleast_1d(wanted["cell_type"]).astype(str)
    sizes = np.atleast_1d(wanted["n"]).astype(int)
    cells = gather(request, None)
    inside = np.flatnonzero(request.part("train", "validation")[cells.rows])
    types = view.obs["cell_type"][cells.rows[inside]].astype(str)
    home = None if cells.batch is None else cells.batch[inside]
    batches = np.atleast_1d(wanted["batch"]).astype(str) if "batch" in wanted and home is not None else None
    if batches is not None and (unknown := sorted(set(batches) - set(home))):
        msg = f"new cells of batch {', '.join(unknown)} are asked for and the view has no cell of it"
        raise NotApplicable(msg)
    groups = [None] * len(kinds) if batches is None else list(batches)
    picked = [
        _sources(types, home, kind, batch, n, request.seed) for kind, batch, n in zip(kinds, groups, sizes, strict=True)
    ]
    chosen, kind = np.concatenate(picked), np.repeat(kinds, sizes)
    batch = None if batches is None else np.repeat(batches, sizes)
    split = held_out(request, cells.rows[inside], types)
    with package(request):
        model = fit_scvi(request, cells.anndata(keep=inside), split)
        # Only the decoder sees the batch, so a type that a batch lacks is drawn as that batch would have measured it.
        given = home[chosen] if batch is None and home is not None else batch
        source = to_anndata(cells.counts[inside[chosen]], np.arange(len(chosen)), given, None)
        counts = model.posterior_predictive_sample(source).to_scipy_sparse()
    out = np.argsort(cells.genes)
    return Simulated(sparse.csr_matrix(counts)[:, out], kind, batch)


main = program(INFO, {"integrate": integrate, "impute": impute, "simulate": simulate})
