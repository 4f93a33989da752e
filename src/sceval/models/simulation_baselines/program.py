"""`sceval-model` of the classical simulators; the param `method` says which."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from sceval.contract.results import Simulated
from sceval.models.params import Param
from sceval.models.program import program
from sceval.models.request import Info, NotApplicable, Request
from sceval.models.simulating import asked
from sceval.models.simulation_baselines import copula, negative_binomial, splat
from sceval.training.seed import derive_seed

Draw = Callable[[np.ndarray, int, dict, np.random.Generator], np.ndarray]


def _bootstrap(X: np.ndarray, n: int, params: dict, rng: np.random.Generator) -> np.ndarray:
    del params
    return X[rng.integers(0, len(X), n)]


def _independent(X: np.ndarray, n: int, params: dict, rng: np.random.Generator) -> np.ndarray:
    del params
    return negative_binomial.draw(*negative_binomial.fit(X), n, rng)


def _splat(X: np.ndarray, n: int, params: dict, rng: np.random.Generator) -> np.ndarray:
    return splat.simulate(X, n, params["dropout"], rng)


def _copula(X: np.ndarray, n: int, params: dict, rng: np.random.Generator) -> np.ndarray:
    return copula.simulate(X, n, params["shrinkage"], rng)


METHODS: dict[str, Draw] = {"bootstrap": _bootstrap, "nb": _independent, "splat": _splat, "copula": _copula}

INFO = Info(
    name="simulation_baselines",
    title="Classical simulators",
    version="1.0.0",
    verbs=("simulate",),
    regimes={"simulate": ("scratch",)},
    uses_labels=("simulate",),
    memory_mb=2000,
    citation="Baselines of this project, after Splatter (Zappia et al. 2017) and scDesign2 (Sun et al. 2021)",
    params=(
        Param(
            "method",
            "copula",
            "`bootstrap`: training cells drawn again (a control: it copies); `nb`: independent negative binomials; "
            "`splat`: gamma-Poisson with library sizes; `copula`: negative binomials with the genes' correlations.",
            choices=tuple(METHODS),
        ),
        Param(
            "least_cells", 20, "Training cells from which a batch of a type is fitted by itself.", low=1, high=100_000
        ),
        Param("dropout", True, "`splat`: lose counts where there are more zeros than the rest explains."),
        Param("shrinkage", 0.2, "`copula`: weight of independence in the correlations.", low=0.0, high=1.0),
    ),
)


def _learn_from(
    types: np.ndarray, batches: np.ndarray | None, kind: str, batch: str | None, least: int
) -> tuple[np.ndarray, bool]:
    """Return the cells to fit: of type and batch where they are enough, else of the type; and whether of the batch."""
    able = types == kind
    if not able.any():
        known = ", ".join(sorted(set(types)))
        msg = f"new cells of type {kind!r} are asked for and the view has no such cell; it has {known}"
        raise NotApplicable(msg)
    if batch is not None and batches is not None:
        both = able & (batches == batch)
        if both.sum() >= least:
            return np.flatnonzero(both), True
    return np.flatnonzero(able), False


def simulate(request: Request) -> Simulated:
    """Fit each type (and batch, where it has enough cells) and draw new cells of it."""
    view, params = request.view, request.params
    types, batches = asked(request)
    order = np.argsort(view.obs_names.astype(str), kind="stable")  # draws must not depend on the order of the file
    X, own = view.X[order], view.obs["cell_type"][order].astype(str)
    home = view.obs["batch"][order].astype(str) if "batch" in view.obs else None
    least = 1 if params["method"] == "bootstrap" else params["least_cells"]
    sources: dict[tuple[str, str | None], tuple[np.ndarray, bool]] = {}
    groups: dict[tuple[str, str], tuple[np.ndarray, list[int]]] = {}
    for row, kind in enumerate(types.astype(str)):
        batch = None if batches is None else str(batches[row])
        if (kind, batch) not in sources:
            sources[kind, batch] = _learn_from(own, home, kind, batch, least)
        inside, of_batch = sources[kind, batch]
        groups.setdefault((kind, batch if of_batch else ""), (inside, []))[1].append(row)
    parts = []
    for (kind, batch), (inside, rows) in groups.items():
        rng = np.random.default_rng(derive_seed(request.seed, params["method"], kind, batch))
        made = METHODS[params["method"]](X[inside].toarray().astype(float), len(rows), params, rng)
        parts.append(negative_binomial.as_csr(made))
    back = np.argsort(np.concatenate([rows for _, rows in groups.values()]))
    return Simulated(sparse.vstack(parts, format="csr")[back], types, batches)


main = program(INFO, {"simulate": simulate})
