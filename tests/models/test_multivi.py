"""MultiVI and totalVI on a few drawn cells: shapes, facts, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sceval.contract import CellFile
from sceval.models.multivi.program import INFO, integrate
from sceval.models.request import NotApplicable, Request

N = 60


def _request(other: str, modality: np.ndarray | None = None) -> Request:
    rng = np.random.default_rng(0)
    genes = np.array([f"f{i}" for i in range(50)], object)
    counts = sparse.csr_matrix(rng.poisson(1.0, (N, 50)).astype(np.float32))
    view = CellFile(np.array([f"c{i}" for i in range(N)], object), genes, X=counts)
    paired = np.full(N, "paired", object)
    view.obs = {"batch": np.array(["a", "b"] * 30, object), "modality": paired if modality is None else modality}
    view.var = {"modality": np.array(["rna"] * 30 + [other] * 20, object)}
    params = {param.name: param.default for param in INFO.params} | {"max_epochs": 2, "n_latent": 5}
    return Request(view, "scratch", params, 0, "cpu")


@pytest.mark.parametrize(("other", "name"), [("peak", "multivi"), ("protein", "totalvi")])
def test_cells_with_two_modalities_get_finite_vectors(other, name):
    pytest.importorskip("scvi")
    request = _request(other)
    X = integrate(request).X
    assert X.shape == (N, 5)
    assert np.isfinite(X).all()
    assert request.facts[f"{name}_epochs"] == 2
    assert (request.facts["genes_used"], request.facts["features_used"]) == (30, 20)


def test_what_it_cannot_do_is_told():
    with pytest.raises(NotApplicable, match="RNA and one other"):
        integrate(_request("rna"))
    with pytest.raises(NotApplicable, match="totalVI needs RNA and proteins in every cell"):
        integrate(_request("protein", np.array(["paired", "protein"] * 30, object)))
    request = _request("peak")
    request.view.var = {}
    with pytest.raises(NotApplicable, match="one gene space"):
        integrate(request)
