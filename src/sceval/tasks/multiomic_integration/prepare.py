"""Views of a dataset with two modalities: unpaired in one gene space, paired, one modality alone, mosaic."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile
from sceval.data.second_modality import as_genes, pairs
from sceval.tasks.views import header, unintegrated

ID = "multiomic_integration"

HIDDEN_SHARE = 0.3
"""Share of the cells whose labels stay hidden in `unpaired_labels`; scores are made on them."""

ALONE = {"rna_only": "rna", "other_only": "second"}
"""Views of the paired cells with the features of one modality: what the joint embedding is compared with."""


def _labels(cells: CellFile, rows: np.ndarray) -> np.ndarray:
    """Return the labels of some cells, None where there is none."""
    return cells.obs.get("cell_type", np.full(cells.n_obs, None, object))[rows]


def _finish(view: CellFile, solution: CellFile, data: CellFile, dataset: str, split: str) -> tuple[CellFile, CellFile]:
    view.uns = header(data, dataset, ID, split)
    view.uns["sceval"]["matrix"] = "counts"
    solution.uns = header(data, dataset, ID, split)
    solution.obsm["X_pre"] = unintegrated(view)
    return view, solution


def _gene_columns(data: CellFile, names: np.ndarray) -> dict[str, np.ndarray]:
    """Return symbols and Ensembl ids of genes of the dataset; a gene that it does not have is its own symbol."""
    place = {name: row for row, name in enumerate(data.var_names)}
    rows = [place.get(name) for name in names]
    return {
        "gene_symbol": np.array(
            [names[i] if row is None else data.var["gene_symbol"][row] for i, row in enumerate(rows)], object
        ),
        "ensembl_id": np.array(["" if row is None else data.var["ensembl_id"][row] for row in rows], object),
    }


def _unpaired(data: CellFile, dataset: str, split: str, rng: np.random.Generator) -> tuple[CellFile, CellFile]:
    """Cut the study's view: rows of RNA and rows of the second modality as genes, shuffled apart, under blind ids.

    Peaks: the genes that both measure. Proteins: all genes of the RNA and those of the proteins. Cells without a count
    in these genes take no part.
    """
    second = data.uns["second"]
    kind = second.uns["kind"]
    activity, names = as_genes(data)
    rna = sparse.csr_matrix(data.X, shape=(data.n_obs, data.n_vars))
    rna = sparse.hstack([rna, sparse.csr_matrix((data.n_obs, len(names) - data.n_vars), dtype=rna.dtype)]).tocsr()
    if kind == "atac":
        both = (np.asarray(activity.sum(axis=0)).ravel() > 0) & (np.asarray(rna.sum(axis=0)).ravel() > 0)
        activity, rna, names = activity[:, both], rna[:, both], names[both]
    kept = [np.flatnonzero(np.asarray(m.sum(axis=1)).ravel() > 0) for m in (rna, activity)]
    orders = [rng.permutation(rows) for rows in kept]
    ids = [f"{name}{i:06d}" for name, rows in zip(("rna", kind), orders, strict=True) for i in range(len(rows))]
    modality = np.repeat(np.array(["rna", kind], object), [len(rows) for rows in orders])
    X = sparse.vstack([rna[orders[0]], activity[orders[1]]]).tocsr().astype(np.float32)
    view = CellFile(np.array(ids, object), names, X=X, var=_gene_columns(data, names))
    view.obs = {"batch": modality, "modality": modality.copy()}
    cell = np.concatenate([data.obs_names[orders[0]], second.obs_names[orders[1]]])
    label = np.concatenate([_labels(data, orders[0]), _labels(second, orders[1])])
    twice = {name for name, n in zip(*np.unique(cell.astype(str), return_counts=True), strict=True) if n == 2}
    pair = np.array([name if name in twice else None for name in cell], object)
    solution = CellFile(view.obs_names, obs={"batch": modality, "modality": modality, "cell_type": label, "pair": pair})
    if split == "unpaired_labels":
        everyone = np.unique(cell.astype(str))
        hidden = set(rng.permutation(everyone)[: max(round(HIDDEN_SHARE * len(everyone)), 1)])
        # Both rows of a cell are in one part: its label must not be read from its partner.
        part = np.array(["test" if name in hidden else "train" for name in cell], object)
        view.obs |= {"part": part, "cell_type": np.where(part == "test", None, label)}
        solution.obs["part"] = part
    return _finish(view, solution, data, dataset, split)


def _features(data: CellFile, rows: tuple[np.ndarray, np.ndarray]) -> dict[str, CellFile]:
    """Return the paired cells with the features of each modality, as they are measured."""
    second = data.uns["second"]
    kind = second.uns["kind"]
    rna = CellFile(data.obs_names[rows[0]], data.var_names, X=data.X[rows[0]], var=_gene_columns(data, data.var_names))
    rna.var["modality"] = np.full(data.n_vars, "rna", object)
    names = second.var_names if kind == "atac" else np.array([f"protein:{name}" for name in second.var_names], object)
    empty = np.full(second.n_vars, "", object)
    other = CellFile(rna.obs_names, names, X=second.X[rows[1]], var={"gene_symbol": empty, "ensembl_id": empty.copy()})
    other.var["modality"] = np.full(second.n_vars, "peak" if kind == "atac" else "protein", object)
    return {"rna": rna, "second": other}


def _together(parts: list[CellFile]) -> CellFile:
    X = sparse.hstack([part.X for part in parts]).tocsr().astype(np.float32)
    var = {name: np.concatenate([part.var[name] for part in parts]) for name in parts[0].var}
    return CellFile(parts[0].obs_names, np.concatenate([part.var_names for part in parts]), X=X, var=var)


def _paired(data: CellFile, dataset: str, split: str) -> tuple[CellFile, CellFile]:
    """Cut one row for each cell that has both; features of both, or (a view that is compared with) of one."""
    rows = pairs(data)
    parts = _features(data, rows)
    view = parts[ALONE[split]] if split in ALONE else _together([parts["rna"], parts["second"]])
    view.obs = {"modality": np.full(view.n_obs, "paired", object)}
    solution = CellFile(view.obs_names, obs={"cell_type": _labels(data, rows[0]), "modality": view.obs["modality"]})
    if "factor" in data.obs:
        solution.obs["factor"] = data.obs["factor"][rows[0]]
    solution.obs["batch"] = np.full(view.n_obs, "all", object)
    if "batch" in data.obs:
        view.obs["batch"] = solution.obs["batch"] = data.obs["batch"][rows[0]]
    return _finish(view, solution, data, dataset, split)


def _mosaic(data: CellFile, dataset: str, split: str, rng: np.random.Generator) -> tuple[CellFile, CellFile]:
    """Cut a third of the paired cells with both modalities, a third with RNA, a third with the other; else zeros."""
    rows = pairs(data)
    parts = _features(data, rows)
    kind = data.uns["second"].uns["kind"]
    n = len(rows[0])
    modality = np.array(["paired", "rna", kind], object)[rng.permutation(np.arange(n) % 3)]
    for name, measured in (("rna", modality != kind), ("second", modality != "rna")):
        parts[name].X = sparse.csr_matrix(sparse.diags(measured.astype(np.float32)) @ parts[name].X)
    view = _together([parts["rna"], parts["second"]])
    view.obs = {"batch": modality, "modality": modality.copy()}
    solution = CellFile(view.obs_names, obs={"cell_type": _labels(data, rows[0]), "batch": modality})
    solution.obs["modality"] = modality.copy()
    return _finish(view, solution, data, dataset, split)


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view and solution (labels, modality, who pairs with whom, unintegrated PCA) of a split."""
    del query
    rng = np.random.default_rng(split_seed)
    if split.startswith("unpaired"):
        return _unpaired(data, dataset, split, rng)
    if split == "mosaic":
        return _mosaic(data, dataset, split, rng)
    return _paired(data, dataset, split)
