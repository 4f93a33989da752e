from __future__ import annotations

import json

import numpy as np
import pytest
from metric_parity import CASES, PARITY


@pytest.fixture(scope="session")
def parity():
    if not (PARITY / "expected.json").is_file():
        pytest.skip("the parity fixture ../shared/parity/metrics is not beside this checkout")
    return json.loads((PARITY / "expected.json").read_text())


@pytest.fixture(scope="session")
def embeddings(parity):
    """Arrays of each case: X, X_pre, batch and label codes and texts, and what else the file holds."""
    found = {}
    for case in CASES:
        with np.load(PARITY / "embeddings" / f"{case}.npz") as data:
            arrays = {name: data[name] for name in data.files}
        arrays["batch_name"] = np.array([f"b{int(code)}" for code in arrays["batch"]])
        arrays["label_name"] = np.array([f"l{int(code):02d}" for code in arrays["label"]])
        found[case] = arrays
    return found


@pytest.fixture(scope="session")
def scorers(embeddings):
    from sceval.metrics.integration import IntegrationScorer

    return {
        case: IntegrationScorer(a["X"], a["batch_name"], a["label_name"], a["X_pre"]) for case, a in embeddings.items()
    }


@pytest.fixture(scope="session")
def mixture():
    """240 cells in 4 labels and 3 batches with a shift per batch: X, pre, batch, label."""
    rng = np.random.default_rng(7)
    label, batch = rng.integers(0, 4, 240), rng.integers(0, 3, 240)
    centers, shifts = rng.normal(size=(4, 8)) * 4, rng.normal(size=(3, 8)) * 2
    base = centers[label] + rng.normal(size=(240, 8))
    names = np.array(["B cell", "NK", "T cell", "monocyte"], dtype=object)
    return base + 0.1 * shifts[batch], base + shifts[batch], np.array(["x", "y", "z"])[batch], names[label]
