"""Networks of groups of cells, one by one: a model that knows nothing of groups is called once for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Network
from sceval.models.request import NotApplicable, Request


def groups_of(view: CellFile) -> list[str]:
    """Return the groups of a view in alphabetical order; none where it has no `obs['group']`."""
    return sorted({str(name) for name in view.obs.get("group", ()) if name is not None})


def only(view: CellFile, group: str) -> CellFile:
    """Return the cells of a group, as a view without groups."""
    rows = np.flatnonzero(view.obs["group"] == group)
    obs = {name: values[rows] for name, values in view.obs.items() if name != "group"}
    return CellFile(view.obs_names[rows], view.var_names, X=view.X[rows], obs=obs, var=view.var, uns=view.uns)


def by_group(function: Callable[[Request], Network], request: Request) -> Network:
    """Infer the network of each group of the view, or of all cells where it has no groups.

    A group that the model cannot do is left out and said.

    Raises
    ------
    NotApplicable
        If the model can do none of the groups, with the reason of the first.
    """
    groups = groups_of(request.view)
    if not groups:
        return function(request)
    found, reasons = {}, []
    for group in groups:
        part = dataclasses.replace(request, view=only(request.view, group), warnings=[])
        try:
            found[group] = function(part)
        except NotApplicable as reason:
            reasons.append(f"{group}: {reason}")
            continue
        for sentence in part.warnings:
            request.warn(f"{group}: {sentence}")
        if found[group].extras:
            request.warn(f"{group}: the further tables ({', '.join(found[group].extras)}) are not written for groups")
    if not found:
        raise NotApplicable(reasons[0])
    for reason in reasons:
        request.warn(reason)
    source, target, score = (
        np.concatenate([getattr(network, name) for network in found.values()]) for name in ("source", "target", "score")
    )
    sizes = [len(network.source) for network in found.values()]
    return Network(source, target, score, group=np.repeat(np.array(list(found), object), sizes))
