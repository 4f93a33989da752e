"""What is asked of one output, and of two outputs that should agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sceval.contract import CellFile
from sceval.trial.outputs import Values, expected
from sceval.trial.programs import Call

TOLERANCE = 1e-3
"""Largest difference between two calls that should agree, in standard deviations of the output."""

MOST_MISSING = 0.5
"""Share of the genes that may have no vector, because the model does not know them."""

PASS, FAIL, SKIP = "pass", "FAIL", "skip"


@dataclass(frozen=True)
class Check:
    """One line of the table: of which verb, what was looked at, `pass`, `FAIL` or `skip`, and a sentence."""

    verb: str
    check: str
    result: str
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)


def result_of(well: bool) -> str:
    """Return the word of a finding."""
    return PASS if well else FAIL


def complete(verb: str, values: Values, view: CellFile) -> tuple[bool, str]:
    """Whether every cell (gene, perturbation) that is asked for has its row, and no stranger has one."""
    there, wanted = set(values.names), expected(verb, view)
    pool = {"cells": view.obs_names, "genes": view.var_names}.get(values.what)
    if pool is not None and verb != "perturb-insilico":
        strange = sorted(there - set(pool))
        if strange:
            swapped = values.what == "cells" and set(strange) <= set(view.var_names)
            return False, f"{len(strange)} {values.what} of no id in the view, the first is {strange[0]!r}" + (
                ": the rows are genes (transposed?)" if swapped else ""
            )
    absent = [name for name in wanted if name not in there] if wanted is not None else []
    if absent:
        return (
            False,
            f"{len(absent)} of {len(wanted)} {values.what} are absent from the output, the first is {absent[0]!r}",
        )
    if verb == "embed-genes" and len(there) < (1 - MOST_MISSING) * view.n_vars:
        return False, f"only {len(there)} of {view.n_vars} genes have a vector"
    size = f"{len(values.names)} {values.what}"
    return len(values.names) > 0, size if values.X.shape[1] == 1 else f"{size} x {values.X.shape[1]} values"


def finite(verb: str, values: Values) -> tuple[bool, str]:
    """Whether there is no NaN; a gene may have none, but then in its whole row."""
    bad = ~np.isfinite(values.X)
    rows = bad.any(axis=1)
    if not rows.any():
        return True, "no NaN, no infinity"
    first = f"the first is {values.names[rows.argmax()]!r}"
    if verb == "embed-genes" and (bad.all(axis=1) == rows).all() and rows.mean() <= MOST_MISSING:
        return True, f"{int(rows.sum())} of {len(rows)} genes have no vector (rows of NaN), {first}"
    return False, f"{int(rows.sum())} of {len(rows)} {values.what} have NaN or infinite values, {first}"


def varies(verb: str, values: Values) -> tuple[bool, str]:
    """Whether not all is one value; cells and genes must differ from each other, predictions need not."""
    X = values.X[np.isfinite(values.X).all(axis=1)]
    between_rows = verb in ("embed-cells", "integrate", "annotate", "embed-genes", "classify-genes")
    if X.size and (float(np.ptp(X, axis=0).max()) if between_rows else float(np.ptp(X))) > 0:
        return True, f"standard deviation {X.std():.2g}"
    return False, f"constant output: all {values.what} have the same values"


def agree(first: Values, other: Values) -> tuple[bool, str]:
    """Whether two outputs say the same of the same names."""
    if first.X.shape[1] != other.X.shape[1]:
        return False, f"{first.X.shape[1]} columns become {other.X.shape[1]}"
    where = {name: row for row, name in enumerate(other.names)}
    differ = set(first.names) ^ set(where)
    if differ:
        return False, f"{len(differ)} {first.what} are in one output alone, the first is {min(differ)!r}"
    X, Y = first.X, other.X[[where[name] for name in first.names]]
    if (np.isfinite(X) != np.isfinite(Y)).any():
        return False, "values are NaN in one output alone"
    known = np.isfinite(X)
    spread = max(float(X[known].std()) if known.any() else 0.0, 1e-12)
    difference = float(np.abs(X - Y)[known].max(initial=0.0)) / spread
    return difference <= TOLERANCE, f"largest difference {difference:.1e} standard deviations"


def watched(verb: str, calls: list[Call]) -> list[Check]:
    """Return what the calls did beside their output: to their inputs, to other folders, to the network."""
    touched = list(dict.fromkeys(line for call in calls for line in call.touched))
    strays = list(dict.fromkeys(line for call in calls for line in call.strays))
    packets = [call.packets for call in calls if call.packets is not None]
    out = [
        Check(verb, "inputs unchanged", result_of(not touched), _some(touched) or "view, parameters, weights"),
        Check(verb, "no stray files", result_of(not strays), _some(strays) or "nothing outside the output folder"),
    ]
    if len(packets) < len(calls):
        told = "this system allows no network of its own (user namespaces); an image is tried without one"
        return [*out, Check(verb, "no network call", SKIP, f"not checked: {told}")]
    tried = f"{sum(packets)} connections or packets tried to leave the machine"
    return [*out, Check(verb, "no network call", result_of(not sum(packets)), tried if sum(packets) else "none tried")]


def _some(lines: list[str]) -> str:
    rest = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return "; ".join(lines[:3]) + rest
