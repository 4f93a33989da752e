"""`sceval-model` of TOSICA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np

from sceval.contract.results import Annotation
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import log_cp10k
from sceval.models.genes import recognise
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.reference import Reference, reference
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.tosica.recipe import PARAMS, resolve

if TYPE_CHECKING:
    from sceval.models.tosica.classify import Classified

INFO = Info(
    name="tosica",
    title="TOSICA",
    version="1.0.0",
    verbs=("annotate",),
    regimes={"annotate": ("scratch",)},
    gene_ids="gene_symbol",
    uses_labels=("annotate",),
    gpu="optional",
    memory_mb=4000,
    licence="Apache-2.0 (this code); upstream code MIT; hallmark gene sets CC BY 4.0",
    citation="Chen et al. 2023, Nat Commun 14:223; gene sets: Liberzon et al. 2015, Cell Syst 1:417",
    params=(
        Param("gene_sets", "hallmark", "Path of a GMT file, or `hallmark`: 50 sets that come with the program."),
        Param("largest_set", 300, "Sets with more names are left out.", 1, 100_000),
        Param("max_sets", 300, "Most pathway tokens; the largest are kept.", 1, 10_000),
        Param("unannotated", 1, "Tokens that see every gene.", 0, 100),
        Param("n_hvg", 3000, "Variable genes; all that vary where there are fewer.", 5, 100_000),
        Param("width", 48, "Width of a token; a multiple of n_heads.", 4, 1024),
        Param("depth", 2, "Transformer blocks.", 1, 24),
        Param("n_heads", 4, "Attention heads.", 1, 64),
        *PARAMS,
        Param(
            "validation_fraction",
            0.1,
            "Share of the reference that picks the epoch where the view has no part.",
            0,
            0.9,
        ),
        Param("unknown_cutoff", 0.1, "Cells whose largest probability is lower are `unassigned`.", 0, 1),
        Param(
            "token_layout",
            "aligned",
            "`aligned`: a token holds what sees its pathway; `official`: units of many pathways mixed.",
            choices=("aligned", "official"),
        ),
        Param(
            "split",
            "sound",
            "`sound`: validation cells pick the epoch; `official`: resampled, split 70 to 30, last epoch kept.",
            choices=("sound", "official"),
        ),
    ),
)


def _pathways(request: Request) -> tuple[dict[str, list[str]], list[str | None]]:
    """Gene sets and the name in them of each column of the view."""
    from sceval.models.tosica.pathways import HALLMARK, GmtError, read_gmt

    place = request.params["gene_sets"]
    try:
        sets = read_gmt(HALLMARK if place == "hallmark" else place, request.params["largest_set"])
    except GmtError as error:
        raise click.BadParameter(str(error), param_hint="--params gene_sets") from error
    known = {gene for members in sets.values() for gene in members}
    return sets, list(recognise(request, known, INFO).names)


def _validation(request: Request, cells: Reference) -> np.ndarray | None:
    """Reference cells of the part `validation`, None where there are none (or nothing else)."""
    held = request.part("validation")[cells.rows] if "part" in request.view.obs else np.zeros(len(cells.rows), bool)
    if not held.any():
        return None
    if set(cells.codes[~held]) != set(cells.codes):
        missing = sorted(set(cells.classes[np.setdiff1d(cells.codes, cells.codes[~held])]))
        request.warn(
            f"the training part lacks {', '.join(missing)}, so a share of the reference picks the epoch instead"
        )
        return None
    return held


def _rows(request: Request, cells: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Training rows and rows that pick the epoch, as positions among the reference cells."""
    from sceval.models.tosica.reference_data import official_split, sound_split

    if request.params["split"] == "official":
        return official_split(cells.codes, request.seed)[0], np.empty(0, np.int64)
    validation = _validation(request, cells)
    return sound_split(cells.codes, validation, request.params["validation_fraction"], request.seed)


def _attention(weights: np.ndarray, names: list[str], labels: np.ndarray) -> dict[str, Any]:
    """Mean attention to each pathway among the query cells that got each label, as a long table."""
    units = sorted(set(labels))
    means = [weights[labels == unit].mean(axis=0) for unit in units]
    return {
        "token": np.tile(np.array(names, object), len(units)),
        "unit": np.repeat(np.array(units, object), len(names)),
        "weight": np.array(means, float).ravel(),
    }


def annotate(request: Request) -> Annotation:
    """Label query cells by a transformer over pathways; tells the attention to each of them."""
    p = request.params
    if p["width"] % p["n_heads"]:
        raise click.BadParameter(
            f"width {p['width']} is not divisible by n_heads {p['n_heads']}", param_hint="--params"
        )
    cells = reference(request)
    sets, names = _pathways(request)
    train, held = _rows(request, cells)
    view = request.view
    # Genes sorted by id, as the cells are, so that the file's order changes nothing.
    columns = np.argsort(view.var_names.astype(str), kind="stable")
    fitted = view.X[cells.rows[np.unique(train)]][:, columns]
    columns = columns[highly_variable_genes(fitted, p["n_hvg"])]

    from sceval.models.tosica.pathways import build_mask

    chosen = [names[column] or "" for column in columns]
    pathways = build_mask(chosen, sets, most=p["max_sets"], unannotated=p["unannotated"])
    annotated = len(pathways.names) - pathways.unannotated
    if not annotated:
        msg = f"none of {len(sets)} gene sets has 5 of the {len(columns)} variable genes"
        raise NotApplicable(msg)

    from sceval.models.tosica.classify import classify
    from sceval.training.progress import ProgressLines

    recipe, used = resolve(p, len(train))
    request.facts |= {"recipe": recipe, "params_used": used}
    if p["recipe"] == "auto" and recipe == "small":
        request.warn(f"{len(train)} training draws are few: the recipe `small` was used; `official` is the other")
    expression = log_cp10k(view.X)[:, columns].astype(np.float32)
    found = classify(
        expression[cells.rows],
        cells.codes,
        expression[cells.query],
        pathways.mask,
        len(cells.classes),
        train=train,
        held=held,
        params=p | used,
        seed=request.seed,
        device=request.device,
        on_progress=ProgressLines("tosica"),
    )
    request.facts |= found.facts | {"pathways": annotated, "genes_used": len(columns), "training_draws": len(train)}
    return _result(request, cells, found, pathways.names[:annotated], np.diff(expression[cells.query].indptr) > 0)


def _result(
    request: Request, cells: Reference, found: Classified, pathways: list[str], known: np.ndarray
) -> Annotation:
    """Labels, probabilities and attention; cells without any count get the class shares and no label."""
    from sceval.models.tosica.train import labels_of

    probability = np.where(known[:, None], found.prediction.probability.astype(np.float64), cells.prior)
    labels = labels_of(probability, cells.classes, request.params["unknown_cutoff"])
    labels[~known] = "unassigned"
    if not known.all():
        request.warn(f"{int((~known).sum())} query cells have no count in the genes used; they are `unassigned`")
    attention = _attention(found.prediction.attention[known, : len(pathways)], pathways, labels[known])
    return Annotation(cells.query, cells.classes, probability, labels, {"attention": attention})


main = program(INFO, {"annotate": annotate})
