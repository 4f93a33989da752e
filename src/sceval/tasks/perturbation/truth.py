"""What predictions are compared with: held-out means, top genes, controls, and a space for whole cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.perturbations import ALL, Screen, Unit, gene_columns, parts_of, targets_of
from sceval.data.preprocess import PCA, column_moments, fit_pca
from sceval.metrics.discrepancy import energy_distance
from sceval.metrics.discrimination import discrimination
from sceval.metrics.perturbation import Moments, shift_scores, top_genes

COMPONENTS, FITTED_ON = 20, 5000
"""Principal components that the energy distance is taken in, and the most cells of the view that they are fitted on."""

ROUNDING = 1e-5
"""Change of a gene that counts as none."""

NAMES = {
    "pearson_delta": "pearson_delta",
    "pearson_delta_de": "pearson_delta_de",
    "pert_mse": "mse",
    "pert_mse_de": "mse_de",
    "pert_direction": "direction",
    "pert_pearson": "pearson",
    "pert_pearson_de": "pearson_de",
    "pearson_delta_nd": "pearson_delta_nd",
    "pert_mse_nd": "mse_nd",
}
"""Metric -> its name in `metrics.perturbation.shift_scores`."""


def _moments(logs) -> Moments:
    mean, variance = column_moments(logs)
    return mean, variance, logs.shape[0]


@dataclass(frozen=True)
class Truth:
    """The held-out side of one view.

    Attributes
    ----------
    units
        Targets: perturbation and context.
    seen
        How many parts of each target were perturbed among the training cells.
    screen, held
        Cells of the view; cells of the solution.
    truth, replicate
        Rows of `held` for each unit: what is predicted, and the other half.
    controls
        Context -> mean of all controls, of the held-out ones, of the visible ones (3 x g).
    top
        Columns of each unit: the top 20, and those not dropped out.
    left_out
        Columns of the perturbed genes of all targets, left out of the discrimination scores.
    space
        Principal components of the view.
    names
        Of the units, for the tables.
    combined
        Whether the targets are combinations.
    """

    units: list[Unit]
    seen: np.ndarray
    screen: Screen
    held: Screen
    truth: list[np.ndarray]
    replicate: list[np.ndarray]
    controls: dict[str, np.ndarray]
    top: list[tuple[np.ndarray, np.ndarray]]
    left_out: np.ndarray
    space: PCA
    names: np.ndarray
    combined: bool

    def with_halves(self, rng: np.random.Generator) -> Truth:
        """Return the same with the cells of each unit dealt to other halves."""
        truth, other = [], []
        for a, b in zip(self.truth, self.replicate, strict=True):
            mixed = rng.permutation(np.concatenate([a, b]))
            truth.append(mixed[: len(a)])
            other.append(mixed[len(a) :])
        return replace(self, truth=truth, replicate=other)


def truth_of(view: CellFile, solution: CellFile) -> Truth:
    """Return the truth of a view; top genes from all held-out cells of a perturbation against all controls."""
    control = str(view.uns["perturbation"]["control"])
    screen, held = Screen.of(view, control), Screen.of(solution, control)
    units = targets_of(view)
    known = {part for name in set(screen.perturbation) for part in parts_of(name, control)}
    parts = [parts_of(name, control) for name, _ in units]
    is_truth = solution.obs["part"] == "test"
    rows = [held.rows(*unit) for unit in units]
    controls, moments = {}, {}
    for context in {context for _, context in units}:
        ours, theirs = screen.logs[screen.controls(context)], held.logs[held.controls(context)]
        moments[context] = _moments(sparse.vstack([ours, theirs], format="csr"))
        means = (moments[context][0], theirs.mean(axis=0), ours.mean(axis=0))
        controls[context] = np.array([np.asarray(mean).ravel() for mean in means])
    columns = gene_columns(view)
    targets = {columns[gene] for genes in parts for gene in genes if gene in columns}
    some = np.sort(np.random.default_rng(0).permutation(view.n_obs)[:FITTED_ON])
    return Truth(
        units=units,
        seen=np.array([sum(gene in known for gene in genes) for genes in parts]),
        screen=screen,
        held=held,
        truth=[r[is_truth[r]] for r in rows],
        replicate=[r[~is_truth[r]] for r in rows],
        controls=controls,
        top=[top_genes(_moments(held.logs[r]), moments[unit[1]]) for r, unit in zip(rows, units, strict=True)],
        left_out=np.array(sorted(targets), int),
        space=fit_pca(screen.logs[some], COMPONENTS),
        names=np.array([name if context == ALL else f"{name} in {context}" for name, context in units], object),
        combined=max(map(len, parts)) > 1,
    )


def evaluate(
    truth: Truth, profiles: np.ndarray, cells: list[np.ndarray] | None, masks: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the values of each unit, and the replicates of the metrics that are no mean over units.

    Parameters
    ----------
    profiles
        Predicted means, u x g.
    cells
        Predicted cells of each unit in the coordinates of `truth.space`, or None where the output has means.
    masks
        Replicates x units.
    """
    measured = truth.held.means(truth.truth)
    base = np.array([truth.controls[context] for _, context in truth.units])
    # Outputs are float32: what rounding makes of no change must not be correlated with anything.
    profiles = np.where(np.abs(profiles - base[:, 2]) < ROUNDING, base[:, 2], profiles)
    rows = range(len(profiles))
    scores = [shift_scores(measured[i], profiles[i], base[i, 1], base[i, 2], *truth.top[i]) for i in rows]
    units = {metric: np.array([score[name] for score in scores]) for metric, name in NAMES.items()}
    shared = [shift_scores(measured[i], profiles[i], base[i, 0], base[i, 0], *truth.top[i]) for i in rows]
    units["pearson_delta_gears"] = np.array([score["pearson_delta"] for score in shared])
    keep = np.setdiff1d(np.arange(measured.shape[1]), truth.left_out)
    contexts = np.array([context for _, context in truth.units])
    changes = (profiles - base[:, 2])[:, keep], (measured - base[:, 1])[:, keep]
    of_all = {}
    units["pds"], of_all["pds"] = discrimination(*changes, contexts, masks, "cosine")
    units["centroid_accuracy"], of_all["centroid_accuracy"] = discrimination(
        profiles[:, keep], measured[:, keep], contexts, masks, "euclidean"
    )
    units["pert_energy"] = np.full(len(profiles), np.nan)
    if cells is not None:
        for i, rows in enumerate(truth.truth):
            units["pert_energy"][i] = energy_distance(cells[i], truth.space.transform(truth.held.logs[rows]))
    if truth.combined:
        for n in (0, 1, 2):
            if (truth.seen == n).any():
                units[f"pearson_delta_seen{n}"] = np.where(truth.seen == n, units["pearson_delta"], np.nan)
    return units, of_all
