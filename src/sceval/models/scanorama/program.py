"""`sceval-model` of Scanorama, by the package scanorama."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse

from sceval.contract.results import Embedding
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k
from sceval.models.params import Param
from sceval.models.pca.embed import by_cell_id, restore
from sceval.models.program import program
from sceval.models.quiet import quiet
from sceval.models.request import Info, NotApplicable, Request

INFO = Info(
    name="scanorama",
    title="Scanorama",
    version="1.0.0",
    verbs=("integrate",),
    regimes={"integrate": ("scratch",)},
    licence="MIT (scanorama)",
    citation="Hie et al. 2019, Nat Biotechnol 37:685",
    params=(
        Param("n_hvg", 2000, "Variable genes, chosen batch by batch; all that vary if fewer.", low=2, high=100_000),
        Param("n_components", 100, "Dimensions of the embedding.", low=2, high=1000),
        Param(
            "knn",
            20,
            "Neighbors that are looked for; no more than the second largest batch has cells.",
            low=1,
            high=1000,
        ),
        Param("sigma", 15.0, "Width of the kernel that smooths corrections: larger is narrower.", low=1e-3, high=1e6),
        Param("alpha", 0.1, "Smallest share of matched cells for which two batches are aligned.", low=0.0, high=1.0),
        Param("corrected", True, "Write corrected expression too, where it is small enough for a dense matrix."),
    ),
    uses_code_of=("pca",),
)

LARGEST_CORRECTED = 10_000_000
"""Scanorama makes its matched cells dense; with more values than these corrected expression is left out."""

_ALIGN_BATCH = 5000


def _scanorama() -> Any:
    """Import the package. Where annoy (approximate neighbors, no wheel) is absent, an empty module stands for it."""
    try:
        import annoy  # noqa: F401
    except ImportError:
        absent = ModuleType("annoy")
        absent.AnnoyIndex = None
        sys.modules["annoy"] = absent
    from scanorama import scanorama

    return scanorama


def _apart(X: sparse.csr_matrix, parts: list[np.ndarray]) -> list[sparse.csr_matrix]:
    return [sparse.csr_matrix(X[rows]) for rows in parts]


def _arranged(parts: list[np.ndarray], knn: int) -> tuple[list[np.ndarray], int]:
    """Return the batches in an order in which `knn` neighbors can be found, and how many can.

    The package looks for the neighbors of a batch among all before it together, then among all after it. Where some
    batch is too small, the two largest stand at the ends, so that neither side is ever smaller than the second largest.
    """
    if min(len(rows) for rows in parts) >= knn:
        return parts, knn
    by_size = sorted(parts, key=len, reverse=True)
    return [by_size[0], *by_size[2:], by_size[1]], min(knn, len(by_size[1]))


def _together(values: list[Any], parts: list[np.ndarray]) -> np.ndarray:
    dense = [part.toarray() if sparse.issparse(part) else np.asarray(part) for part in values]
    return restore(np.concatenate(dense), np.concatenate(parts))


def integrate(request: Request) -> Embedding:
    """Stitch batches together by mutual nearest neighbors, in a common low-dimensional space."""
    view, params = request.view, request.params
    if "batch" not in view.obs:
        msg = "Scanorama corrects for batch and this view has no column `batch` in obs"
        raise NotApplicable(msg)
    # Cells and genes sorted by id and batches by name: the file's order changes nothing.
    order = by_cell_id(request)
    batch = view.obs["batch"][order].astype(str)
    names, codes = np.unique(batch, return_inverse=True)
    if len(names) < 2:
        msg = f"all cells are of one batch ({str(names[0])!r}), there is nothing to integrate"
        raise NotApplicable(msg)
    columns = np.argsort(view.var_names.astype(str), kind="stable")
    counts = sparse.csr_matrix(view.X)[order][:, columns]
    genes = highly_variable_genes(counts, params["n_hvg"], codes)
    if len(genes) < 2:
        msg = f"{len(genes)} genes vary; Scanorama needs at least two"
        raise NotApplicable(msg)
    parts, knn = _arranged([np.flatnonzero(codes == code) for code in range(len(names))], params["knn"])
    if knn < params["knn"]:
        request.warn(f"knn is {knn} instead of {params['knn']}: all batches but one have at most {knn} cells")
    write = params["corrected"]
    if write and view.n_obs * view.n_vars > LARGEST_CORRECTED:
        request.warn(f"no corrected expression: {view.n_obs} x {view.n_vars} values are too many for a dense matrix")
        write = False
    X = log_cp10k(counts)
    options = {"knn": knn, "sigma": params["sigma"], "alpha": params["alpha"], "batch_size": _ALIGN_BATCH}
    with quiet():
        package = _scanorama()
        # Its principal components come from NumPy's global generator.
        np.random.seed(request.seed % 2**32)
        chosen = np.array([f"{position:09d}" for position in genes])
        reduced, _ = package.process_data(_apart(X[:, genes], parts), chosen, dimred=params["n_components"])
        expression = package.process_data(_apart(X, parts), np.arange(view.n_vars), dimred=0)[0] if write else None
        aligned, matches = package.find_alignments(reduced, knn=knn, approx=False, alpha=params["alpha"], verbose=False)
        reduced = package.assemble(
            reduced,
            expr_datasets=expression,
            alignments=aligned,
            matches=matches,
            approx=False,
            verbose=False,
            **options,
        )
    left = [batch[rows[0]] for place, rows in enumerate(parts) if all(place not in pair for pair in aligned)]
    if left:
        request.warn(
            f"no counterpart found for {', '.join(map(str, left))}: left as they are (alpha {params['alpha']:g})"
        )
    request.facts["alignments"] = len(aligned)
    found = restore(_together(reduced, parts), order)
    if not write:
        return Embedding(found)
    corrected = restore(_together(expression, parts), order)
    return Embedding(found, corrected=restore(corrected.T, columns).T)


main = program(INFO, {"integrate": integrate})
