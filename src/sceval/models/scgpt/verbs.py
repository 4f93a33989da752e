"""Verbs of scGPT beyond the shared ones: from a request to the result of the contract."""

from __future__ import annotations

import numpy as np

from sceval.contract.results import Annotation, Embedding, Imputed, Network, Perturbed, Simulated
from sceval.models.imputing import asked_rows, rates
from sceval.models.reference import reference
from sceval.models.request import NotApplicable, Request
from sceval.models.transformer.session import Session, Transformer


def annotate_study(model: Transformer, request: Request) -> Annotation:
    """Label query cells with the study's losses and classifier."""
    cells, view = reference(request), request.view
    session = Session.of(model, "annotate", request)
    from sceval.models.scgpt import study
    from sceval.training.progress import ProgressLines

    labels = np.full(view.n_obs, -1, np.int64)
    labels[cells.rows] = cells.codes
    chosen = request.part("validation") if "part" in view.obs else np.zeros(view.n_obs, bool)
    result = study.annotate_study(
        session,
        labels,
        len(cells.classes),
        batches=view.obs.get("batch"),
        validation=chosen if (chosen & (labels >= 0)).any() else None,
        on_progress=ProgressLines("scgpt annotate"),
    )
    probability = result.probability[cells.query]
    prediction = np.asarray(cells.classes, object)[probability.argmax(axis=1)]
    prediction[~result.known[cells.query]] = "unassigned"
    return Annotation(cells.query, cells.classes, probability, prediction)


def impute(model: Transformer, request: Request) -> Imputed:
    """Predict the counts of every gene from other genes of the cell."""
    view, rows = request.view, asked_rows(request)
    session = Session.of(model, "impute", request)
    from sceval.models.scgpt.impute import predict_counts
    from sceval.training.progress import ProgressLines

    learn = None
    if "modality" in view.obs and (single := view.obs["modality"].astype(str) == "single_cell").any():
        learn = np.flatnonzero(single)  # spots lack the genes that are asked for
    made = predict_counts(session, rows, ProgressLines("scgpt impute"), learn)
    X, ids = rates(view.X, rows), session.token_ids
    known = np.flatnonzero(ids >= 0)
    order = np.argsort(made.columns)
    place = order[np.searchsorted(made.columns[order], ids[known])]
    shared = np.bincount(place, minlength=len(made.columns))  # columns of one gene share its counts
    said = np.flatnonzero(made.X.sum(axis=1) > 0)
    X[np.ix_(said, session.columns[known])] = (made.X[said] / np.maximum(shared, 1))[:, place]
    if len(rows) > said.size:
        request.warn(f"{len(rows) - said.size} cells got the genes' mean shares: no known gene, or nothing predicted")
    if ids.size > known.size:
        request.warn(f"{ids.size - known.size} genes are unknown to the model and got their mean share of the total")
    return Imputed(rows, X)


def infer_network(model: Transformer, request: Request) -> Network:
    """Score edges between genes: from how alike their vectors are, or from attention."""
    session = Session.of(model, "infer-network", request)
    from sceval.models.scgpt.edges import edges

    return edges(session, request.view)


def perturb(model: Transformer, request: Request) -> Perturbed:
    """Predict the mean expression after perturbations, learned from control and perturbed cells."""
    view = request.view
    told = view.uns.get("perturbation") or {}
    targets = [str(name) for name in np.atleast_1d(told.get("targets", np.array([], object)))]
    if "perturbation" not in view.obs or not targets:
        msg = "the view has no perturbations (obs column `perturbation`, uns `perturbation/targets`)"
        raise NotApplicable(msg)
    contexts = view.obs.get("context")
    asked = None if contexts is None or "contexts" not in told else [str(c) for c in np.atleast_1d(told["contexts"])]
    session = Session.of(model, "perturb", request)
    from sceval.models.scgpt.perturb import predict_perturbations
    from sceval.training.progress import ProgressLines

    names = np.array([None if name is None else str(name) for name in view.obs["perturbation"]], object)
    made = predict_perturbations(
        session,
        names,
        str(told.get("control", "control")),
        targets,
        contexts=contexts,
        target_contexts=asked,
        validation=request.part("validation") if "part" in view.obs else None,
        on_progress=ProgressLines("scgpt perturb"),
    )
    X = np.empty((len(targets), view.n_vars), dtype=np.float32)
    X[:, session.columns] = made
    return Perturbed(np.array(targets, object), X, None if asked is None else np.array(asked, object))


def simulate(model: Transformer, request: Request) -> Simulated:
    """Draw new cells of the asked types and batches, learned from the cells of known type."""
    view = request.view
    told = view.uns.get("simulation")
    if not told or "cell_type" not in view.obs:
        msg = "simulation needs the labels of the cells (obs `cell_type`) and the groups wanted (uns `simulation`)"
        raise NotApplicable(msg)
    known = np.array([label is not None for label in view.obs["cell_type"]], bool)
    learn = np.flatnonzero(known & request.part("train", "validation"))
    labels = np.where(known, view.obs["cell_type"], "").astype(str)
    types = np.unique(labels[learn])
    kinds, sizes = np.atleast_1d(told["cell_type"]).astype(str), np.atleast_1d(told["n"]).astype(int)
    homes = view.obs["batch"].astype(str) if "batch" in view.obs else np.full(view.n_obs, "", object)
    asked = np.atleast_1d(told["batch"]).astype(str) if "batch" in told and "batch" in view.obs else None
    places = np.unique(homes[learn].astype(str)) if asked is not None else np.array([""])
    unknown = sorted(set(kinds) - set(types)) + sorted(set(asked if asked is not None else ()) - set(places))
    if unknown:
        msg = f"new cells of {', '.join(unknown)} are asked for and the view has no cell to learn them from"
        raise NotApplicable(msg)
    session = Session.of(model, "simulate", request)
    from sceval.models.scgpt.simulate import Wanted, simulate_cells
    from sceval.training.progress import ProgressLines

    own = np.searchsorted(types, labels).clip(max=len(types) - 1)
    home = np.searchsorted(places, homes.astype(str)).clip(max=len(places) - 1) if asked is not None else own * 0
    groups = [
        Wanted(
            int(np.searchsorted(types, kind)), 0 if asked is None else int(np.searchsorted(places, asked[i])), int(n)
        )
        for i, (kind, n) in enumerate(zip(kinds, sizes, strict=True))
    ]
    made = simulate_cells(session, own, home, learn, groups, ProgressLines("scgpt simulate"))
    out = np.empty_like(session.columns)
    out[session.columns] = np.arange(len(out))
    batch = None if asked is None else np.repeat(asked, sizes)
    return Simulated(made[:, out], np.repeat(kinds, sizes), batch)


def integrate_modalities(model: Transformer, request: Request) -> Embedding:
    """Integrate cells of several modalities: proteins and peaks are tokens beside the genes."""
    view = request.view
    if request.regime not in ("finetune", "scratch"):
        msg = f"cells of several modalities are integrated by finetune or scratch, not by {request.regime}"
        raise NotApplicable(msg)
    session = Session.of(model, "integrate-modalities", request)
    from sceval.models.scgpt import multiomic
    from sceval.training.progress import ProgressLines

    features = view.var["modality"].astype(str)[session.columns]
    rows = view.obs["modality"].astype(str) if "modality" in view.obs else np.full(view.n_obs, "paired")
    batches = view.obs["batch"].astype(str) if "batch" in view.obs else np.full(view.n_obs, "")
    progress = ProgressLines("scgpt integrate")
    return Embedding(multiomic.integrate_modalities(session, features, rows, batches, progress))
