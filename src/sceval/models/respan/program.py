"""`sceval-model` of ResPAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import numpy as np
from scipy import sparse

from sceval.contract.results import Embedding
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.respan.recipe import PARAMS, resolve

if TYPE_CHECKING:
    from sceval.models.respan.correct import Settings

INFO = Info(
    name="respan",
    title="ResPAN",
    version="1.0.0",
    verbs=("integrate",),
    regimes={"integrate": ("scratch",)},
    gpu="optional",
    memory_mb=4000,
    licence="Apache-2.0 (this code); upstream code MIT",
    citation="Wang et al. 2022, Bioinformatics 38:3942",
    params=(
        Param("n_hvg", 2000, "Variable genes that are corrected; all that vary where there are fewer.", 2, 100_000),
        *PARAMS,
        Param("reduction", "pca", "Space of the neighbors.", choices=("pca", "kpca", "cca", "none")),
        Param("n_components", 20, "Components of that space and of the embedding.", 1, 1000),
        Param("k1", 0, "Neighbors between batches; 0: half of k2.", 0, 1000),
        Param("k2", 0, "Neighbors within a batch; 0: 1 % of the smaller batch.", 0, 1000),
        Param("pair_cells", 3000, "Most cells of a batch among which pairs are looked for.", 10, 1_000_000),
        Param("filtering", False, "Drop pairs that are far in the genes with the largest loadings."),
    ),
)


def _settings(request: Request, device: str) -> Settings:
    from sceval.models.respan.correct import Settings
    from sceval.models.respan.gan import GanSettings

    p = request.params
    recipe, used = resolve(p, device)
    if used["hidden"] < 8 or used["batch_size"] < 2:
        msg = f"hidden is {used['hidden']} and batch_size {used['batch_size']}; at least 8 and 2 are needed"
        raise click.BadParameter(msg, param_hint="--params")
    request.facts |= {"device": device, "recipe": recipe, "params_used": dict(used)}
    if p["recipe"] == "auto" and recipe == "small":
        request.warn("on a CPU the recipe `small` was used (narrower networks, fewer epochs); `official` is the other")
    hidden = used.pop("hidden")
    names = ("reduction", "n_components", "k1", "k2", "pair_cells", "filtering")
    return Settings(**{name: p[name] for name in names}, hidden=hidden, training=GanSettings(**used))


def _batches(request: Request) -> np.ndarray:
    if "batch" not in request.view.obs:
        msg = "ResPAN maps batches onto each other and this view has no column `batch` in obs"
        raise NotApplicable(msg)
    batch = request.view.obs["batch"].astype(str)
    if len(set(batch)) < 2:
        msg = f"all cells are of one batch ({batch[0]!r}), there is nothing to integrate"
        raise NotApplicable(msg)
    return batch


def integrate(request: Request) -> Embedding:
    """Map each batch onto those before it; gives corrected expression and its principal components."""
    from sceval.training.device import choose_device

    batch = _batches(request)
    view = request.view
    settings = _settings(request, choose_device(request.device).type)
    # Sums and draws go by position; with cells and genes sorted by id the file's order changes nothing.
    cells = np.argsort(view.obs_names.astype(str), kind="stable")
    columns = np.argsort(view.var_names.astype(str), kind="stable")
    counts = sparse.csr_matrix(view.X)[cells][:, columns]
    genes = highly_variable_genes(counts, request.params["n_hvg"], np.unique(batch[cells], return_inverse=True)[1])
    if len(genes) < 2:
        msg = f"{len(genes)} genes vary; ResPAN needs at least two"
        raise NotApplicable(msg)
    expression = log_cp10k(counts)
    chosen = expression[:, genes].toarray().astype(np.float32)
    usable = chosen.any(axis=1)
    if len(set(batch[cells][usable])) < 2:
        msg = "the cells with any count in the variable genes are of one batch, there is nothing to integrate"
        raise NotApplicable(msg)
    if not usable.all():
        request.warn(f"{int((~usable).sum())} cells have no count in the variable genes; their embedding is NaN")

    from sceval.models.respan.correct import correct
    from sceval.training.progress import ProgressLines

    found = correct(
        chosen[usable],
        batch[cells][usable],
        settings,
        seed=request.seed,
        device=request.device,
        on_progress=lambda name: ProgressLines(f"respan, batch {name}"),
    )
    request.facts |= {"batch_order": found.order, "steps": found.steps, "genes_corrected": len(genes)}
    for step in found.steps[1:]:
        if not step["pairs"]:
            request.warn(f"batch {step['batch']!r} has no pair with those before it and stays as it is")
    if len(genes) < view.n_vars:
        request.warn(
            f"{len(genes)} of {view.n_vars} genes were corrected; the others keep their log CP10k in layer `corrected`"
        )
    return _result(view.n_obs, found.X, expression, genes, usable, (cells, columns), request)


def _result(
    n: int,
    found: np.ndarray,
    expression: sparse.csr_matrix,
    genes: np.ndarray,
    usable: np.ndarray,
    order: tuple[np.ndarray, np.ndarray],
    request: Request,
) -> Embedding:
    """Put rows and columns back into the order of the view."""
    from sceval.models.respan.reduction import principal_axes, standardize

    scores = principal_axes(standardize(found.astype(np.float64)), request.params["n_components"])[0]
    if scores.shape[1] < request.params["n_components"]:
        request.warn(
            f"{scores.shape[1]} components instead of {request.params['n_components']}: {found.shape[0]} cells"
        )
    cells, columns = order
    X = np.full((n, scores.shape[1]), np.nan)
    X[cells[usable]] = scores
    corrected = np.empty((n, len(columns)), np.float32)
    sorted_rows = expression.toarray().astype(np.float32)
    sorted_rows[np.ix_(usable, genes)] = found
    corrected[np.ix_(cells, columns)] = sorted_rows
    return Embedding(X, corrected=corrected)


main = program(INFO, {"integrate": integrate})
