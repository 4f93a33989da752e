"""The guard of networks: edges of an output as numbers of genes, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sceval.contract import CellFile
from sceval.tasks.guard import BadOutput, table

MOST_UNKNOWN = 0.5
"""Share of the edges that may name genes outside the view before an output is refused."""

ALL = ""
"""Name of the network of a view without groups, and of one that stands for all groups."""


@dataclass(frozen=True)
class Edges:
    """Predicted edges: columns of source and target in the view, and scores."""

    source: np.ndarray
    target: np.ndarray
    score: np.ndarray


def group_names(view: CellFile) -> list[str]:
    """Return the groups whose networks are asked for; `ALL` alone where the view has none."""
    return sorted({str(name) for name in view.obs.get("group", ()) if name is not None}) or [ALL]


def regulators(view: CellFile) -> np.ndarray:
    """Return the columns of the genes that may be a source, in the order of the view."""
    named = (view.uns.get("network") or {}).get("regulators")
    if named is None:
        return np.arange(view.n_vars)
    return np.flatnonzero(np.isin(view.var_names.astype(str), np.asarray(named, str)))


def network(path: Path, view: CellFile) -> tuple[dict[str, Edges], list[str]]:
    """Return the edges of each group of cells (`ALL` where there are none), and what was found.

    Edges from genes that are no regulator, to a gene itself, or of genes outside the view are left out and counted.

    Raises
    ------
    BadOutput
        If no edge is left, most name unknown genes, or all possible edges have the same score.
    """
    columns = table("network", path)
    if not len(columns["score"]):
        msg = "a network without an edge"
        raise BadOutput(msg)
    where = {str(name): column for column, name in enumerate(view.var_names)}
    source, target = (np.array([where.get(str(g), -1) for g in columns[name]], int) for name in ("source", "target"))
    unknown = (source < 0) | (target < 0)
    if unknown.mean() > MOST_UNKNOWN:
        row = int(unknown.argmax())
        pair = f"{columns['source'][row]!r} to {columns['target'][row]!r}"
        msg = f"{int(unknown.sum())} of {len(unknown)} edges name genes that the view has not, the first is {pair}"
        raise BadOutput(msg)
    allowed = np.zeros(view.n_vars + 1, bool)
    allowed[regulators(view)] = True
    loops = (source == target) & ~unknown
    other = ~allowed[source] & ~unknown & ~loops
    findings = [
        f"{int(mask.sum())} edges {told}; left out"
        for mask, told in (
            (unknown, "name genes that the view has not"),
            (loops, "go from a gene to itself"),
            (other, "start at a gene that is none of the view's regulators"),
        )
        if mask.any()
    ]
    keep = ~(unknown | loops | other)
    if not keep.any():
        msg = f"no edge is left: {'; '.join(findings)}"
        raise BadOutput(msg)
    given = columns["group"].astype(str) if "group" in columns else np.full(len(keep), ALL, object)
    wanted = group_names(view)
    found = {}
    for name in sorted(set(given[keep])):
        here = keep & (given == name)
        found[str(name)] = Edges(source[here], target[here], columns["score"][here].astype(float))
    _check_constant(found, int(allowed.sum()), view.n_vars)
    return _of_groups(found, wanted, findings)


def _check_constant(found: dict[str, Edges], n_sources: int, n_genes: int) -> None:
    possible = n_sources * (n_genes - 1)
    for edges in found.values():
        if np.ptp(edges.score) == 0 and len(edges.score) > 0.5 * possible:
            msg = f"the network is constant: {len(edges.score)} of {possible} possible edges have the same score"
            raise BadOutput(msg)


def _of_groups(found: dict[str, Edges], wanted: list[str], findings: list[str]) -> tuple[dict[str, Edges], list[str]]:
    if set(found) == {ALL}:
        if wanted != [ALL]:
            findings.append(f"one network for all of {', '.join(wanted)}: how they differ is not measured")
        return found, findings
    if wanted == [ALL]:
        if len(found) > 1:
            msg = f"the view has no groups of cells and the output has {', '.join(map(repr, list(found)[:5]))}"
            raise BadOutput(msg)
        return {ALL: next(iter(found.values()))}, findings
    extra = sorted(set(found) - set(wanted))
    absent = sorted(set(wanted) - set(found))
    if len(absent) == len(wanted):
        msg = f"none of the groups asked for ({', '.join(wanted)}); the output has {', '.join(map(repr, extra[:5]))}"
        raise BadOutput(msg)
    findings += [
        f"{kind}: {', '.join(names)}"
        for kind, names in (("groups that the view has not, left out", extra), ("groups without a network", absent))
        if names
    ]
    return {name: found[name] for name in wanted if name in found}, findings
