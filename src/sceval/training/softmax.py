"""Multinomial logistic regression in NumPy and SciPy: the one fair head that every embedding gets.

scikit-learn would do the same in the same time but takes seconds to import; a test holds the two side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp


@dataclass(frozen=True)
class Softmax:
    """A fitted head: `weights` d x c and `intercept` c on standardized input."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    def probability(self, X: np.ndarray) -> np.ndarray:
        """Return class probabilities, m x c, for rows m x d."""
        logits = (X - self.mean) / self.scale @ self.weights + self.intercept
        return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))


def fit_softmax(X: np.ndarray, codes: np.ndarray, n_classes: int, C: float = 1.0) -> Softmax:
    """Fit a head with an L2 penalty.

    Minimizes `sum of cross-entropies + |weights|^2 / (2 C)`, the intercept unpenalized, on standardized columns: the
    objective of scikit-learn's `LogisticRegression`. It is convex; L-BFGS from zero, so the result needs no seed.

    Parameters
    ----------
    X
        n x d, finite.
    codes
        Class of each row, 0 to `n_classes` - 1.
    n_classes
        Number of classes.
    C
        Inverse strength of the penalty, above 0.
    """
    X = np.asarray(X, np.float64)
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale[scale == 0] = 1.0
    Z = (X - mean) / scale
    n, d = Z.shape
    onehot = np.zeros((n, n_classes))
    onehot[np.arange(n), codes] = 1.0

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercept = theta[: d * n_classes].reshape(d, n_classes), theta[d * n_classes :]
        logits = Z @ weights + intercept
        total = logsumexp(logits, axis=1)
        error = np.exp(logits - total[:, None]) - onehot
        loss = total.sum() - (logits * onehot).sum() + (weights**2).sum() / (2 * C)
        return float(loss), np.concatenate([(Z.T @ error + weights / C).ravel(), error.sum(axis=0)])

    options = {"maxiter": 2000, "maxfun": 4000, "ftol": 1e-12, "gtol": 1e-6}
    theta = minimize(objective, np.zeros((d + 1) * n_classes), jac=True, method="L-BFGS-B", options=options).x
    return Softmax(mean, scale, theta[: d * n_classes].reshape(d, n_classes), theta[d * n_classes :])
