"""`sceval-model` of ResPAN."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract.results import Embedding
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request

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
        Param("epochs", 300, "Passes over the pairs, for each batch.", 1, 100_000),
        Param("batch_size", 1024, "Pairs of a mini-batch.", 2, 100_000),
        Param("pairs_per_epoch", 10_240, "Most pairs of an epoch.", 2, 10_000_000),
        Param("lr", 1e-4, "Learning rate of both networks.", 1e-8, 1.0),
        Param("hidden", 1024, "Width of the outermost hidden layers.", 8, 8192),
        Param("reduction", "pca", "Space of the neighbors.", choices=("pca", "kpca", "cca", "none")),
        Param("n_components", 20, "Components of that space and of the embedding.", 1, 1000),
        Param("k1", 0, "Neighbors between batches; 0: half of k2.", 0, 1000),
        Param("k2", 0, "Neighbors within a batch; 0: 1 % of the smaller batch.", 0, 1000),
        Param("pair_cells", 3000, "Most cells of a batch among which pairs are looked for.", 10, 1_000_000),
        Param("filtering", False, "Drop pairs that are far in the genes with the largest loadings."),
    ),
)


def _settings(request: Request):
    from sceval.models.respan.correct import Settings
    from sceval.models.respan.gan import GanSettings

    p = request.params
    return Settings(
        **{name: p[name] for name in ("reduction", "n_components", "k1", "k2", "pair_cells", "filtering", "hidden")},
        training=GanSettings(**{name: p[name] for name in ("epochs", "batch_size", "pairs_per_epoch", "lr")}),
    )


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
    batch = _batches(request)
    view = request.view
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
    from sceval.training.device import choose_device
    from sceval.training.progress import ProgressLines

    found = correct(
        chosen[usable],
        batch[cells][usable],
        _settings(request),
        seed=request.seed,
        device=request.device,
        on_progress=lambda name: ProgressLines(f"respan, batch {name}"),
    )
    request.facts |= {"device": choose_device(request.device).type, "batch_order": found.order, "steps": found.steps}
    request.facts["genes_corrected"] = len(genes)
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
