"""k-nearest-neighbour batch effect test, over all cells (``kbet50``) and inside each label (``kbet_label``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, eigsh
from scipy.special import chdtrc

from sceval.metrics.neighbors import knn

_ALPHA = 0.05
_COMPONENTS = 100


def acceptance(neighbor_batches: np.ndarray, present: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Whether each cell's neighbourhood passes a chi-square test against the overall batch frequencies.

    Parameters
    ----------
    neighbor_batches
        Batch codes of the neighbours, cells x k, the cell itself counted.
    present
        Which of them count, cells x k.
    frequencies
        Number of cells of each batch in the reference set.

    Returns
    -------
    accepted
        1.0 where p >= 0.05, else 0.0; NaN for cells without a neighbour. Source: Büttner et al. 2019, without the
        adaptive k, as in scib-metrics 0.5.10.
    """
    n, n_batches = len(neighbor_batches), len(frequencies)
    flat = np.arange(n)[:, None] * n_batches + neighbor_batches
    observed = np.bincount(flat[present], minlength=n * n_batches).reshape(n, n_batches).astype(float)
    used = frequencies > 0
    expected = observed.sum(axis=1, keepdims=True) * (frequencies / frequencies.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.sum(((observed - expected) ** 2 / expected)[:, used], axis=1)
    p = chdtrc(max(int(used.sum()) - 1, 1), statistic)
    return np.where(observed.sum(axis=1) > 0, (p >= _ALPHA).astype(float), np.nan)


@dataclass(frozen=True)
class LabelTest:
    """Neighbourhoods for the test inside one label.

    ``rows``: the cells tested (row numbers). ``neighbors``: their nearest cells by diffusion distance, row numbers,
    more than ``k`` of them so that a subset of the cells still finds ``k``. ``rejected``: the label's neighbour graph
    falls apart, so all of it counts as rejected (score 0).
    """

    label: int
    rows: np.ndarray
    neighbors: np.ndarray
    k: int
    rejected: bool = False


def label_tests(
    weights: sparse.csr_matrix, labels: np.ndarray, batches: np.ndarray
) -> tuple[list[LabelTest], list[str]]:
    """Find the neighbourhoods of the per-label test.

    Parameters
    ----------
    weights
        UMAP connectivities of 50 neighbours, cells x cells.
    labels, batches
        Codes, one per cell.

    Returns
    -------
    tests, notes
        One test per label with at least 10 cells and 2 batches, in the order of the codes; a sentence for each label
        that is left out or counted as rejected. Definition of scib-metrics 0.5.10: k0 = clip(mean batch size / 4,
        10, 70); 100 diffusion components, reduced to cells - 1 for a small label and, as there, *still reduced for
        the labels after it*; components of the label's graph under 3 k0 cells are left out, and the label scores 0
        where less than 75 % of its cells remain.
    """
    tests: list[LabelTest] = []
    notes: list[str] = []
    n_components = min(_COMPONENTS, len(labels) - 1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        sizes = np.bincount(batches[rows])
        sizes = sizes[sizes > 0]
        if len(rows) < 10 or len(sizes) == 1:
            notes.append(f"label {label}: {len(rows)} cells in {len(sizes)} batches (at least 10 and 2 are needed)")
            continue
        k = int(min(70, max(10, np.floor(sizes.mean() / 4))))
        graph = weights[rows][:, rows]
        count, component = connected_components(graph, directed=True, connection="strong")
        if count > 1:
            large = np.flatnonzero(np.bincount(component)[component] >= 3 * k)
            if len(large) / len(rows) < 0.75:
                notes.append(f"label {label}: its neighbour graph falls into {count} parts, counted as rejected")
                tests.append(LabelTest(int(label), rows, np.empty((len(rows), 0), np.int64), k, rejected=True))
                continue
            graph, rows = graph[large][:, large], rows[large]
        n_components = min(n_components, len(rows) - 1)
        try:
            embedding = diffusion_map(graph, n_components)
        except (ArpackError, ValueError, TypeError) as error:
            notes.append(f"label {label}: no diffusion map ({error}), counted as rejected")
            tests.append(LabelTest(int(label), rows, np.empty((len(rows), 0), np.int64), k, rejected=True))
            continue
        longer = int(np.ceil(1.7 * (k + 1))) + 5
        neighbors, _ = knn(embedding, longer)
        tests.append(LabelTest(int(label), rows, rows[neighbors], k + 1))
    return tests, notes


def diffusion_map(weights: sparse.csr_matrix, n_components: int) -> np.ndarray:
    """Multiscale diffusion components: eigenvectors of the density-normalised transition matrix times e / (1 - e).

    Source: Coifman et al. 2005 (normalisation); Haghverdi et al. 2016 (all time scales). float32 as in scib-metrics:
    the first eigenvalue then is exactly 1 and its vector is not blown up.
    """
    matrix = weights.astype(np.float64)
    density = np.asarray(matrix.sum(axis=0)).ravel()
    scaled = sparse.diags(1.0 / density) @ matrix @ sparse.diags(1.0 / density)
    root = np.sqrt(np.asarray(scaled.sum(axis=0)).ravel())
    transitions = sparse.csr_matrix(sparse.diags(1.0 / root) @ scaled @ sparse.diags(1.0 / root))
    # A fixed start: ARPACK would otherwise draw one, and the last digits would differ from run to run.
    start = np.random.default_rng(0).uniform(-1, 1, transitions.shape[0])
    values, vectors = eigsh(transitions, k=n_components, which="LM", v0=start)
    values = values.astype(np.float32) + np.float32(1e-8)
    with np.errstate(divide="ignore"):
        factors = np.where(values == 1, np.float32(1), values / (np.float32(1) - values))
    return (vectors.astype(np.float32) * factors)[:, ::-1]
