"""What a verb of a model program gets and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sceval.contract import CellFile
from sceval.contract.results import Annotation, Embedding


class NotApplicable(Exception):
    """The model cannot do what is asked, for a reason that is not an error: the program exits with 99."""


@dataclass(frozen=True)
class Info:
    """What `sceval-model info` prints; fields as in `contract/schemas/info.json`.

    `uses_code_of` names other models whose modules this one imports; it is not printed, their code enters the digest.
    """

    name: str
    title: str
    version: str
    verbs: tuple[str, ...]
    regimes: dict[str, tuple[str, ...]]
    needs_weights: tuple[str, ...] = ()
    deterministic: bool = False
    matrix: tuple[str, ...] = ("counts",)
    organisms: tuple[str, ...] = ("human", "mouse")
    gene_ids: str = "any"
    min_genes_recognised: float = 0.0
    uses_labels: tuple[str, ...] = ()
    weights: str | None = None
    gpu: str = "no"
    memory_mb: int = 2000
    licence: str = "Apache-2.0"
    citation: str = ""
    params: tuple[Any, ...] = ()
    uses_code_of: tuple[str, ...] = ()


@dataclass
class Request:
    """One call of a verb.

    Attributes
    ----------
    view
        The checked view: `X` n x g counts, `obs`, `var`, `uns['sceval']`.
    regime, params, seed, device
        As given on the command line; `params` has every hyper-parameter, defaults filled in.
    weights
        Folder of the weights, or None.
    facts
        The program adds what it measured: `genes_recognised`, `cells_per_s`, `peak_gpu_mb`, `weights_sha256`.
    warnings
        Sentences about what was replaced, skipped or capped.
    """

    view: CellFile
    regime: str
    params: dict[str, Any]
    seed: int
    device: str
    weights: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Record something that was replaced, skipped or capped."""
        self.warnings.append(sentence)

    def part(self, *names: str) -> np.ndarray:
        """Return a mask (n,) of the cells in the given parts; all cells where the task has no split."""
        if "part" not in self.view.obs:
            return np.ones(self.view.n_obs, bool)
        return np.isin(self.view.obs["part"].astype(str), names)


Verb = Callable[[Request], Embedding | Annotation]
