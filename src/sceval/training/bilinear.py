"""Bilinear ridge regression of perturbation effects on gene vectors: Y = n b + P W G'.

P holds a vector for each perturbation (the sum of its genes'), G the leading directions of the training effects, b the
effect that every perturbed gene has, n how many genes were perturbed. Source: Ahlmann-Eltze, Huber and Anders 2025,
Nature Methods 22:1657, where this beats the deep models; there the penalty is 0.1, here the training perturbations
choose it.
"""

from __future__ import annotations

import numpy as np

from sceval.data.perturbations import Unit, parts_of

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0, 1e6)
"""Ridge penalties to choose from by leaving each perturbation out; the last leaves nothing but the mean."""

LEAST = 3
"""Training perturbations with a vector that a fit needs."""


class NoVectors(ValueError):
    """Too few perturbed genes have a vector: the regression cannot be made; the message says why."""


def summed(X: np.ndarray, columns: dict[str, int], units: list[Unit], control: str) -> np.ndarray:
    """Return for each unit the sum of the vectors of its genes (u x d); a row of NaN where one of them has none."""
    out = np.full((len(units), X.shape[1]), np.nan)
    for row, (name, _context) in enumerate(units):
        places = [columns.get(part) for part in parts_of(name, control)]
        if places and None not in places:
            out[row] = X[places].sum(axis=0)
    return out


def whitened(X: np.ndarray, n_components: int) -> np.ndarray:
    """Return the leading principal components of standardized vectors, each with variance 1 (g x k)."""
    X = np.asarray(X, np.float64)
    spread = X.std(axis=0)
    Z = np.divide(X - X.mean(axis=0), spread, out=np.zeros_like(X), where=spread > 1e-12)
    left, size, _ = np.linalg.svd(Z, full_matrices=False)
    keep = min(n_components, int((size > 1e-9 * max(size[0], 1e-12)).sum()))
    return left[:, :keep] * np.sqrt(len(X))


def per_gene_effect(units: list[Unit], shifts: np.ndarray, counts: np.ndarray, context: str) -> np.ndarray:
    """Return the effect that every perturbed gene has (g): of the context where it has any, else of all."""
    own = np.array([unit[1] == context for unit in units], bool)
    rows = own if own.any() else np.ones(len(units), bool)
    n = counts[rows]
    return n @ shifts[rows] / (n @ n)


def _left_out_error(P: np.ndarray, Y: np.ndarray, penalty: float) -> float:
    """Mean squared error of ridge regression with each row left out in turn, by the hat matrix."""
    hat = P @ np.linalg.solve(P.T @ P + penalty * np.eye(P.shape[1]), P.T)
    rest = (Y - hat @ Y) / (1.0 - np.clip(np.diag(hat), None, 0.999))[:, None]
    return float(np.mean(rest**2))


def predict_effects(
    X: np.ndarray,
    columns: dict[str, int],
    units: list[Unit],
    shifts: np.ndarray,
    targets: list[Unit],
    control: str,
    n_components: int = 10,
) -> tuple[np.ndarray, dict, list[str]]:
    """Predict the shifts of targets from vectors of the perturbed genes.

    Parameters
    ----------
    X, columns
        Gene vectors (g x d), and the row of each gene name.
    units, shifts
        Training perturbations with their contexts, and their change from the control mean (u x g).
    targets
        What is asked for.
    control
        Name of the control.
    n_components
        Components kept of the gene vectors and of the effects.

    Returns
    -------
    Shifts (targets x g), what was chosen, and sentences about targets without a vector: they get the mean effect.

    Raises
    ------
    NoVectors
        If fewer than half of the targets, or than three training perturbations, have one.
    """
    counts = np.array([max(len(parts_of(name, control)), 1) for name, _ in units], float)
    asked = np.array([max(len(parts_of(name, control)), 1) for name, _ in targets], float)
    vectors = whitened(X, n_components)
    P, Q = summed(vectors, columns, units, control), summed(vectors, columns, targets, control)
    known, answerable = ~np.isnan(P).any(axis=1), ~np.isnan(Q).any(axis=1)
    if known.sum() < LEAST or answerable.mean() < 0.5:
        msg = (
            f"a vector is known for the genes of {int(known.sum())} of {len(units)} training perturbations and "
            f"{int(answerable.sum())} of {len(targets)} targets; the perturbed genes are not among the measured ones"
        )
        raise NoVectors(msg)
    fitted = [unit for unit, use in zip(units, known, strict=True) if use]
    P, Y, n = P[known], shifts[known], counts[known]
    places = {context for _, context in [*units, *targets]}
    # Vectors are centered as the effects are, each context by its own mean, else the mean would be fitted twice.
    base = {context: per_gene_effect(fitted, Y, n, context) for context in places}
    center = {context: per_gene_effect(fitted, P, n, context) for context in places}
    Y = Y - n[:, None] * np.array([base[context] for _, context in fitted])
    P = P - n[:, None] * np.array([center[context] for _, context in fitted])
    errors = [_left_out_error(P, Y, penalty) for penalty in PENALTIES]
    penalty = PENALTIES[int(np.argmin(errors))]
    G = np.linalg.svd(Y, full_matrices=False)[2][:n_components].T
    W = np.linalg.solve(P.T @ P + penalty * np.eye(P.shape[1]), P.T @ (Y @ G))
    out = asked[:, None] * np.array([base[context] for _, context in targets])
    Q = Q - asked[:, None] * np.array([center[context] for _, context in targets])
    out[answerable] += Q[answerable] @ W @ G.T
    told = (
        [f"{int((~answerable).sum())} targets have no vector; they get the mean effect"] if not answerable.all() else []
    )
    return out, {"penalty": penalty, "training_perturbations": int(known.sum())}, told
