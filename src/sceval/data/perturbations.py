"""A perturbation experiment as a view shows it: parts of names, control means, shifts, and who is held out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.contract.results import Perturbed
from sceval.data.preprocess import log_cp10k

CONTROL_WORDS = ("ctrl", "control")
"""Words that stand for `no second gene` in names such as `A+ctrl`."""

TEST_SHARE = 0.3
"""Share of the perturbations (of the genes, for combinations; of the contexts) that is held out."""

Unit = tuple[str, str]
"""A perturbation and its context."""

ALL = "all"
"""Context of every cell where a dataset has no contexts."""


def parts_of(name: str, control: str) -> tuple[str, ...]:
    """Return what a perturbation is made of: `("A", "B")` of `A+B`, `("A",)` of `A` and of `A+ctrl`."""
    parts = (part.strip() for part in name.split("+"))
    return tuple(part for part in parts if part and part != control and part.lower() not in CONTROL_WORDS)


def log_values(cells: CellFile) -> sparse.csr_matrix:
    """Return log1p of CP10k, n x g CSR float64; a `lognorm` matrix as it is."""
    is_log = cells.uns["sceval"]["matrix"] == "lognorm"
    return sparse.csr_matrix(cells.X, dtype=np.float64) if is_log else log_cp10k(cells.X)


def gene_columns(cells: CellFile) -> dict[str, int]:
    """Return the column of each gene name: by id, else by symbol, else by Ensembl id; the first where one is twice."""
    out: dict[str, int] = {}
    for names in (cells.var_names, cells.var.get("gene_symbol", ()), cells.var.get("ensembl_id", ())):
        for column, name in enumerate(names):
            if name:
                out.setdefault(str(name), column)
    return out


@dataclass(frozen=True)
class Screen:
    """Control and perturbed cells of a view.

    Attributes
    ----------
    logs
        n x g CSR, log1p of CP10k.
    perturbation, context
        Of each cell (n); `ALL` where the dataset has no contexts.
    control
        Name of the control.
    """

    logs: sparse.csr_matrix
    perturbation: np.ndarray
    context: np.ndarray
    control: str

    @classmethod
    def of(cls, cells: CellFile, control: str) -> Screen:
        """Read the cells of a view or of a solution."""
        context = cells.obs.get("context", np.full(cells.n_obs, ALL, object))
        return cls(log_values(cells), cells.obs["perturbation"].astype(str), context.astype(str), control)

    def rows(self, perturbation: str, context: str) -> np.ndarray:
        """Return the cells of a perturbation in a context."""
        return self._rows.get((perturbation, context), np.empty(0, int))

    @cached_property
    def _rows(self) -> dict[Unit, np.ndarray]:
        """Rows of each perturbation and context, found once: there may be thousands."""
        names, first = np.unique(self.perturbation, return_inverse=True)
        contexts, second = np.unique(self.context, return_inverse=True)
        codes = first.astype(np.int64) * len(contexts) + second
        order = np.argsort(codes, kind="stable")
        found, starts = np.unique(codes[order], return_index=True)
        return {
            (str(names[code // len(contexts)]), str(contexts[code % len(contexts)])): rows
            for code, rows in zip(found, np.split(order, starts[1:]), strict=True)
        }

    def controls(self, context: str) -> np.ndarray:
        """Return the control cells of a context."""
        return self.rows(self.control, context)

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean profile (g) of some cells."""
        return np.asarray(self.logs[rows].mean(axis=0)).ravel()

    def means(self, groups: list[np.ndarray]) -> np.ndarray:
        """Return the mean profile of each of some groups of cells (groups x g), all in one product."""
        sizes = np.array([len(rows) for rows in groups])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        columns = np.concatenate(groups) if groups else np.empty(0, int)
        weights = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
        which = sparse.csr_matrix((weights, columns, starts), (len(groups), self.logs.shape[0]))
        return np.asarray((which @ self.logs).todense())

    def units(self) -> list[Unit]:
        """Return the perturbations with their contexts, in the order of their names; without the control."""
        return sorted(unit for unit in self._rows if unit[0] != self.control)

    def shifts(self) -> tuple[list[Unit], np.ndarray]:
        """Return the units whose context has control cells, and their mean minus the mean of those (u x g)."""
        base = {context: self.mean(self.controls(context)) for context in np.unique(self.context[self.is_control])}
        units = [unit for unit in self.units() if unit[1] in base]
        before = np.array([base[context] for _, context in units]).reshape(len(units), self.logs.shape[1])
        return units, self.means([self.rows(*unit) for unit in units]) - before

    @property
    def is_control(self) -> np.ndarray:
        """Whether each cell is a control."""
        return self.perturbation == self.control


def mean_shift(units: list[Unit], shifts: np.ndarray, context: str) -> np.ndarray:
    """Return the training perturbed mean as a shift of the controls (g): every perturbation weighs the same.

    Of the context itself where it has perturbations, else over all contexts.
    """
    own = np.array([unit[1] == context for unit in units], bool)
    return shifts[own if own.any() else slice(None)].mean(axis=0)


def targets_of(view: CellFile) -> list[Unit]:
    """Return what a view asks for: perturbation and context (`ALL` where there are none)."""
    asked = view.uns["perturbation"]
    names = [str(name) for name in np.atleast_1d(asked["targets"])]
    contexts = [str(name) for name in np.atleast_1d(asked["contexts"])] if "contexts" in asked else [ALL] * len(names)
    return list(zip(names, contexts, strict=True))


def hold_out(names: list[str], share: float, seed: int) -> list[str]:
    """Return a random share of some names, at least one and never all."""
    ordered = sorted(names)
    count = min(max(round(share * len(ordered)), 1), len(ordered) - 1)
    return sorted(np.random.default_rng(seed).permutation(np.array(ordered, object))[:count])


def combination_parts(names: list[str], control: str, seed: int) -> dict[str, str]:
    """Return `train`, `test` or `hidden` for each perturbation where combinations are asked for.

    A share of the genes is held out: their singles are hidden, and combinations with one or two of them are test (one
    or none seen). Of the combinations of seen genes half are test (two seen), the others are training. Source: the
    split `simulation` of GEARS (Roohani et al. 2024).
    """
    parts = {name: parts_of(name, control) for name in names}
    doubles = sorted(name for name in names if len(parts[name]) > 1)
    held = set(hold_out(sorted({gene for name in doubles for gene in parts[name]}), TEST_SHARE, seed))
    both = [name for name in doubles if not held & set(parts[name])]
    asked = set(hold_out(both, 0.5, seed + 1)) if len(both) > 1 else set(both)
    out = {}
    for name in names:
        touched = bool(held & set(parts[name]))
        if name in doubles:
            out[name] = "test" if touched or name in asked else "train"
        else:
            out[name] = "hidden" if touched else "train"
    return out


def shifted_controls(screen: Screen, context: str, shift: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return cells (n x g) that are control cells of a context moved by a shift; their mean is exactly control + shift.

    `n` 0 gives the mean alone (1 x g). Control cells are drawn by the seed, none twice.
    """
    rows = screen.controls(context)
    mean = screen.mean(rows)
    if n < 2:
        return (mean + shift)[None, :]
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:n])
    cells = screen.logs[chosen].toarray()
    return cells - cells.mean(axis=0) + mean + shift


def moved(
    view: CellFile, screen: Screen, targets: list[Unit], shifts: np.ndarray, n: int = 64, seed: int = 0
) -> Perturbed:
    """Return each target as n control cells of its context, moved by its shift (targets x g)."""
    cells = [shifted_controls(screen, unit[1], shift, n, seed) for unit, shift in zip(targets, shifts, strict=True)]
    which = np.repeat(np.arange(len(targets)), [len(block) for block in cells])
    names = np.array(targets, object)[which]
    return Perturbed(names[:, 0], np.concatenate(cells), names[:, 1] if "context" in view.obs else None)
