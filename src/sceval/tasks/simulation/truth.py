"""What generated cells are compared with, made once for a view and its solution; and the comparison."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.global_poisson import global_poisson
from sceval.data.hvg import highly_variable_genes
from sceval.data.preprocess import PCA, fit_pca, log_cp10k, pca
from sceval.metrics import simulation as measure
from sceval.metrics import two_sample
from sceval.metrics.discrepancy import SCALES, median_squared_distance
from sceval.metrics.integration import IntegrationScorer

COMPONENTS, COPY_COMPONENTS = 20, 50
"""Principal components of all real cells for distances between samples, and for the search of copies."""

JOINT_COMPONENTS = 20
"""Principal components of test and generated cells together, for the classifier and the study's set."""

VARIABLE_GENES = 100
"""Most variable genes of the training cells, whose correlations are compared (the study's number)."""

LEAST_OF_TYPE = 5
"""Test cells that a type needs for the comparisons inside types."""

RARE_SHARE = 0.05
"""Types that make up less of the test part than this are rare."""

SAMPLE = 1000
"""Training cells that the width of the kernel is measured on."""

STUDY = ("nmi", "ari", "asw_label", "asw_batch", "gc_scib", "ilisi_knn", "s_bio", "s_batch", "s_final")
"""Metrics of integration between test and generated cells, with the source as batch."""


@dataclass(frozen=True)
class Cells:
    """Cells with what is computed of them once.

    Attributes
    ----------
    X, types
        Counts (n x g CSR) and types (n).
    logs, totals
        log1p CP10k and total counts.
    scores
        Coordinates in the principal components of all real cells.
    """

    X: sparse.csr_matrix
    types: np.ndarray
    logs: sparse.csr_matrix
    totals: np.ndarray
    scores: np.ndarray

    def rows(self, keep: np.ndarray) -> Cells:
        """Return some of the cells."""
        return Cells(self.X[keep], self.types[keep], self.logs[keep], self.totals[keep], self.scores[keep])

    @property
    def near(self) -> np.ndarray:
        """Coordinates for distances between samples."""
        return self.scores[:, :COMPONENTS]

    def joined(self, other: Cells) -> Cells:
        """Return these cells and then the others."""
        return Cells(
            sparse.vstack([self.X, other.X], format="csr"),
            np.concatenate([self.types, other.types]),
            sparse.vstack([self.logs, other.logs], format="csr"),
            np.concatenate([self.totals, other.totals]),
            np.concatenate([self.scores, other.scores]),
        )


@dataclass(frozen=True)
class Truth:
    """The real side: training cells (of the view), test and replicate cells (of the solution)."""

    space: PCA
    train: Cells
    test: Cells
    replicate: Cells
    names: np.ndarray
    genes: np.ndarray
    gammas: tuple[float, ...]

    def cells(self, X: sparse.csr_matrix, types: np.ndarray) -> Cells:
        """Return new cells in the same space."""
        return _cells(self.space, X, types)

    def floor(self, types: np.ndarray, seed: int) -> Cells:
        """Return cells of the floor: global mean times total, with Poisson noise, whatever the type."""
        return self.cells(global_poisson(self.train.X, len(types), np.random.default_rng(seed)), types)

    def dealt(self, seed: int) -> tuple[Truth, Cells]:
        """Return the truth with test and replicate cells dealt anew, type by type, and the new replicate."""
        pool = self.test.joined(self.replicate)
        rng = np.random.default_rng(seed)
        first = np.zeros(len(pool.types), bool)
        for kind in np.unique(pool.types):
            rows = rng.permutation(np.flatnonzero(pool.types == kind))
            first[rows[: int((self.test.types == kind).sum())]] = True
        return replace(self, test=pool.rows(first)), pool.rows(~first)

    @cached_property
    def nearness(self) -> tuple[np.ndarray, np.ndarray]:
        """How near test cells are to training cells, see `metrics.simulation.nearness`."""
        return measure.nearness(self.test.scores, self.train.scores)

    @cached_property
    def radius(self) -> np.ndarray:
        """Radius of the ball of each test cell, see `metrics.simulation.ball_radius`."""
        return measure.ball_radius(self.test.near)

    @property
    def kinds(self) -> list[str]:
        """Types with enough test cells to be compared by themselves."""
        names, counts = np.unique(self.test.types, return_counts=True)
        return [str(name) for name, count in zip(names, counts, strict=True) if count >= LEAST_OF_TYPE]

    @property
    def rare(self) -> np.ndarray:
        """Which test cells (n) are of a rare type."""
        names, counts = np.unique(self.test.types, return_counts=True)
        return np.isin(self.test.types, names[counts < RARE_SHARE * len(self.test.types)])


def _cells(space: PCA, X: sparse.csr_matrix, types: np.ndarray) -> Cells:
    X = sparse.csr_matrix(X)
    X.eliminate_zeros()
    logs = log_cp10k(X)
    totals = np.asarray(X.sum(axis=1), float).ravel()
    return Cells(X, np.asarray(types).astype(str), logs, totals, space.transform(logs))


def truth_of(view: CellFile, solution: CellFile) -> Truth:
    """Prepare the real side of a view and its solution."""
    everyone = sparse.vstack([view.X, solution.X], format="csr")
    # On all real cells: axes of the training cells alone spread these more than others, and copies would look unreal.
    space = fit_pca(log_cp10k(everyone), COPY_COMPONENTS)
    part = solution.obs["part"]
    train, test, replicate = (
        _cells(space, X, types)
        for X, types in (
            (view.X, view.obs["cell_type"]),
            *((solution.X[part == name], solution.obs["cell_type"][part == name]) for name in ("test", "replicate")),
        )
    )
    some = train.near[:: max(len(train.near) // SAMPLE, 1)]
    width = median_squared_distance(some, some[:0]) or 1.0
    genes = highly_variable_genes(view.X, VARIABLE_GENES)
    gammas = tuple(scale / width for scale in SCALES)
    return Truth(space, train, test, replicate, solution.obs_names[part == "test"], genes, gammas)


class Comparison:
    """Generated cells against the test cells.

    Attributes
    ----------
    units
        Metric -> share of each test cell (NaN where it takes no part); the metric is their mean (the classifier's and
        those of the study have a form of their own).
    copies, limit
        Which generated cells copy a training cell, and the limit of the ratio that says so.
    """

    def __init__(self, truth: Truth, made: Cells) -> None:
        self.truth, self.made = truth, made
        self.test_near, real_ratio = truth.nearness
        self.made_near, ratio = measure.nearness(made.scores, truth.train.scores)
        self.copies, self.limit = measure.copied(ratio, real_ratio)
        self.units: dict[str, np.ndarray] = {}
        self.units |= self._two_sample(made)
        inside = measure.covered(truth.test.near, made.near, truth.test.types, made.types, truth.radius)
        self.units["sim_coverage"] = inside
        self.units["sim_rare_recall"] = np.where(truth.rare, inside, np.nan)
        self.counted = self._counted()
        plain = {name: self.units[name] for name in ("sim_energy", "sim_mmd", "sim_c2st")}
        new = plain if self.counted is made else self._two_sample(self.counted)
        self.units |= {f"{name}_new": values for name, values in new.items()}
        self.profiles = measure.profiles(made.logs, made.totals, made.types, truth.kinds)
        self.scorer = self._study()

    def _counted(self) -> Cells:
        """Return the generated cells with copies replaced by cells of the floor."""
        if not self.copies.any():
            return self.made
        floor = self.truth.floor(self.made.types[self.copies], seed=0)
        return self.made.rows(~self.copies).joined(floor)

    def _joint(self, made: Cells) -> np.ndarray:
        return pca(sparse.vstack([self.truth.test.logs, made.logs], format="csr"), JOINT_COMPONENTS)[0]

    def _two_sample(self, made: Cells) -> dict[str, np.ndarray]:
        test = self.truth.test
        energy, mmd = np.full((2, len(test.types)), np.nan)
        for kind in self.truth.kinds:
            rows, others = test.types == kind, made.types == kind
            energy[rows] = two_sample.energy_shares(test.near[rows], made.near[others])
            mmd[rows] = two_sample.mmd_shares(test.near[rows], made.near[others], self.truth.gammas)
        joint = self._joint(made)
        if made is self.made:
            self._space = joint
        n = len(test.types)
        return {"sim_energy": energy, "sim_mmd": mmd, "sim_c2st": two_sample.placements(joint[:n], joint[n:])}

    def _study(self) -> IntegrationScorer:
        n, m = len(self.truth.test.types), len(self.made.types)
        source = np.repeat(np.array(["real", "generated"], object), [n, m])
        types = np.concatenate([self.truth.test.types, self.made.types]).astype(object)
        return IntegrationScorer(self._space, source, types)

    def _distributions(self, test: Cells) -> dict[str, float]:
        """Compare the distributions inside the types that both sides have."""
        here = [i for i, kind in enumerate(self.truth.kinds) if (test.types == kind).any()]
        kinds = [self.truth.kinds[i] for i in here]
        real = measure.profiles(test.logs, test.totals, test.types, kinds)
        weights = [int((test.types == kind).sum()) for kind in kinds]
        return measure.distribution_distances(real, [self.profiles[i] for i in here], weights)

    def values(self, keep: np.ndarray | None = None) -> dict[str, float]:
        """Return every metric, over all test cells or those that a replicate keeps."""
        truth = self.truth
        whole = keep is None
        keep = np.ones(len(truth.test.types), bool) if whole else keep
        out = {name: _mean(values[keep]) for name, values in self.units.items()}
        for name in ("sim_c2st", "sim_c2st_new"):
            out[name] = abs(out[name] - 0.5)
        test = truth.test if whole else truth.test.rows(keep)
        real = test.logs[:, truth.genes].toarray()
        for name, made in (("sim_correlation", self.made), ("sim_correlation_new", self.counted)):
            out[name] = measure.correlation_agreement(real, made.logs[:, truth.genes].toarray())
        out |= {f"sim_{name}": value for name, value in self._distributions(test).items()}
        usual = float(np.median(self.test_near[keep]))
        out["sim_memorization"] = float(np.median(self.made_near)) / usual if usual > 0 else float("nan")
        out["sim_copied"] = float(self.copies.mean())
        cells = np.concatenate([keep, np.ones(len(self.made.types), bool)])
        study = self.scorer.values() if whole else self.scorer.replicate(cells)
        return out | {f"sim_{name}": study[name] for name in STUDY}


def _mean(values: np.ndarray) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else float("nan")
