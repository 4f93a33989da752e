"""``--metrics_backend scib``: the metrics of batch integration by the reference package itself, where it can.

scib changes the objects it is given and re-uses ``uns['neighbors']`` of whatever embedding came before, so every
embedding gets an AnnData of its own. The imports (scanpy, scib: many seconds) stay inside.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sceval.metrics import pcr
from sceval.metrics.coding import encode
from sceval.metrics.composite import composite_scores
from sceval.metrics.integration import IDS, NO_BATCH_EFFECT

_NOT_IN_SCIB = {
    "bras": "BRAS is not in scib",
    "cilisi": "CiLISI is not in scib",
    "ilisi_knn": "scib computes LISI on the graph only (ilisi_graph)",
    "clisi_knn": "scib computes LISI on the graph only (clisi_graph)",
    "gc_knn": "scib has graph connectivity in one form (gc_scib)",
    "kbet_label": "scib's kBET needs R and the R package kBET",
    "kbet50": "scib's kBET needs R and the R package kBET",
    "knn_overlap": "not a metric of scib",
}


@dataclass
class ScibResult:
    """Values by id (NaN where left out or undefined), why each id is left out, and sentences for the report."""

    values: dict[str, float]
    left_out: dict[str, str]
    findings: list[str] = field(default_factory=list)


def scib_values(X, batch, label, pre=None, seed: int = 0) -> ScibResult:
    """Score one embedding with scib 1.1.7.

    Parameters
    ----------
    X, batch, label, pre
        As for ``IntegrationScorer``. Cells without a label are left out of the metrics that need one.
    seed
        Seed of the permutations that tell whether there is a batch effect (PCR); scib has fixed seeds of its own.

    Raises
    ------
    ModuleNotFoundError
        Where scib is not installed, with the extra that brings it.
    """
    try:
        with _quiet():
            import scib.metrics as me
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"--metrics_backend scib needs the package scib ({error.name} is missing): install sceval[scib]"
        ) from error
    X = np.asarray(X, dtype=np.float32)
    batches, batch_names = encode(batch)
    labels, label_names = encode(label)
    has = labels >= 0
    values, left_out = dict.fromkeys(IDS, float("nan")), dict(_NOT_IN_SCIB)
    findings = [f"{int((~has).sum())} of {len(has)} cells have no label: left out"] if (~has).any() else []
    with _quiet():
        if len(batch_names) > 1:
            _mixing(me, values, left_out, X, batches)
            _pcr(me, values, left_out, findings, X, batches, pre, seed)
        if len(np.unique(labels[has])) > 1:
            _bio(me, values, left_out, X[has], batches[has], labels[has], len(batch_names))
    if len(batch_names) < 2:
        findings.append("one batch only: metrics of batch removal are undefined")
    if len(label_names) < 2:
        findings.append("fewer than two labels: metrics of label agreement are undefined")
    values |= composite_scores(values)
    findings += [f"{name} left out: {reason}" for name, reason in left_out.items()]
    return ScibResult(values, left_out, findings)


def _mixing(me, values, left_out, X, batches) -> None:
    helper = lisi_helper()
    if helper:
        left_out["ilisi_graph"] = left_out["clisi_graph"] = helper
        return
    data = _data(X, batches, np.zeros(len(X), dtype=int))
    values["ilisi_graph"] = float(me.ilisi_graph(data, "batch", type_="embed", use_rep="X_emb"))


def _pcr(me, values, left_out, findings, X, batches, pre, seed) -> None:
    if pre is None:
        left_out["pcr"] = "no unintegrated principal components were given"
        return
    present, before, limit = pcr.batch_effect(pre, batches, seed)
    if not present:
        findings.append(NO_BATCH_EFFECT.format(before=before, limit=limit))
        return
    zeros = np.zeros(len(X), dtype=int)
    raw, data = _data(X, batches, zeros), _data(X, batches, zeros)
    raw.obsm["X_pca"] = np.asarray(pre, dtype=np.float32)
    raw.uns["pca"] = {"variance": raw.obsm["X_pca"].var(axis=0, ddof=1)}
    values["pcr"] = float(me.pcr_comparison(raw, data, "batch", embed="X_emb", linreg_method="numpy"))


def _bio(me, values, left_out, X, batches, labels, n_batches: int) -> None:
    import scanpy as sc

    data = _data(X, batches, labels)
    sc.pp.neighbors(data, use_rep="X_emb")
    values["asw_label"] = float(me.silhouette(data, "label", "X_emb"))
    values["gc_scib"] = float(me.graph_connectivity(data, "label"))
    me.cluster_optimal_resolution(data, label_key="label", cluster_key="cluster", use_rep="X_emb", verbose=False)
    values["nmi"] = float(me.nmi(data, "cluster", "label"))
    values["ari"] = float(me.ari(data, "cluster", "label"))
    if n_batches > 1:
        values["asw_batch"] = float(me.silhouette_batch(data, "batch", "label", "X_emb", verbose=False))
        keys = {"label_key": "label", "batch_key": "batch", "embed": "X_emb", "verbose": False}
        # The clusterings of all resolutions lie in `data` under the same prefix and are re-used.
        values["isolated_f1"] = float(me.isolated_labels_f1(data, cluster_key="cluster", **keys))
        values["isolated_asw"] = float(me.isolated_labels_asw(data, **keys))
    if "clisi_graph" not in left_out and not lisi_helper():
        values["clisi_graph"] = float(me.clisi_graph(data, "label", type_="embed", use_rep="X_emb"))


def _data(X: np.ndarray, batches: np.ndarray, labels: np.ndarray):
    import anndata
    import pandas as pd

    # As text: scib takes whole numbers for a covariate with a slope.
    columns = {"batch": [f"b{code:05d}" for code in batches], "label": [f"l{code:05d}" for code in labels]}
    obs = pd.DataFrame(columns, index=[str(i) for i in range(len(X))]).astype("category")
    data = anndata.AnnData(np.zeros((len(X), 1), dtype=np.float32), obs=obs)
    data.obsm["X_emb"] = X
    return data


def lisi_helper() -> str:
    """Why scib's compiled LISI helper does not run here; empty where it does."""
    import scib

    path = Path(scib.__file__).parent / "knn_graph" / "knn_graph.o"
    if not path.is_file():
        return "scib's compiled LISI helper is not in this installation"
    try:
        subprocess.run([str(path)], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"scib's compiled LISI helper does not run here ({error})"
    return ""


@contextlib.contextmanager
def _quiet():
    # scib prints every step; warnings are about pandas of its day.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
