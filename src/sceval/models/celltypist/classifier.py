"""One-against-rest logistic regression, which CellTypist asks of scikit-learn and newer versions no longer have."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression


class OneAgainstRest(LogisticRegression):
    """Logistic regression of each class against all others, with the attributes of scikit-learn's.

    Up to scikit-learn 1.7 this was `LogisticRegression(multi_class="ovr")`; the argument is gone, and CellTypist 1.7
    still gives it. With two classes it is one regression, as it was there.
    """

    def __init__(
        self,
        *,
        multi_class: str = "ovr",
        C: float = 1.0,
        solver: str = "lbfgs",
        max_iter: int = 100,
        n_jobs: int | None = None,
        random_state: int | None = None,
    ) -> None:
        super().__init__(C=C, solver=solver, max_iter=max_iter, random_state=random_state)
        self.multi_class = multi_class
        self.n_jobs = n_jobs

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Any:
        """Fit one binary regression for each class (one in all for two classes)."""
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        positive = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        fits = [self._binary().fit(X, y == name, sample_weight) for name in positive]
        self.coef_ = np.concatenate([fit.coef_ for fit in fits])
        self.intercept_ = np.concatenate([fit.intercept_ for fit in fits])
        self.n_iter_ = np.concatenate([fit.n_iter_ for fit in fits])
        return self

    def _binary(self) -> LogisticRegression:
        return LogisticRegression(C=self.C, solver=self.solver, max_iter=self.max_iter, random_state=self.random_state)
