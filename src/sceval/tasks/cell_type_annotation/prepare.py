"""The splits of cell type annotation: which cells show their label, which are asked."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError, Problem
from sceval.data import splits
from sceval.data.genes import Genes
from sceval.data.joining import LEAST_SHARED_GENES, Shared, shared_by_id, shared_by_orthologue
from sceval.tasks.views import solution_of, view_of

ID = "cell_type_annotation"


def _genes(data: CellFile) -> Genes:
    genes = Genes.of(data)
    return Genes(genes.symbols, genes.ensembl, data.uns["sceval"]["organism"])


def _shared(data: CellFile, query: CellFile) -> Shared:
    if data.uns["sceval"]["organism"] == query.uns["sceval"]["organism"]:
        return shared_by_id(data.var_names, query.var_names)
    return shared_by_orthologue(_genes(data), _genes(query))


def _join(data: CellFile, query: CellFile) -> tuple[CellFile, np.ndarray]:
    """Return both datasets over the genes they share, and a mask of the query's cells.

    Within an organism genes are joined by id; across organisms by orthologue, under the human names, so that the view
    is one of human genes. Cells and batches of the query get the prefix `query:`: two datasets may both have a batch
    `1`.
    """
    shared = _shared(data, query)
    if len(shared.reference) < LEAST_SHARED_GENES:
        found = f"{len(shared.reference)} genes shared by the dataset and its query"
        raise ContractError([Problem("datasets sheet, column query", found, f"at least {LEAST_SHARED_GENES}")])
    named = query if shared.named_by_query else data
    columns = shared.query if shared.named_by_query else shared.reference
    names = np.concatenate([data.obs_names, np.array([f"query:{name}" for name in query.obs_names], object)])
    X = sparse.vstack([data.X[:, shared.reference], query.X[:, shared.query]]).tocsr()
    out = CellFile(names, named.var_names[columns], X=X)
    out.var = {key: values[columns] for key, values in named.var.items()}
    batches = [part.obs.get("batch", np.full(part.n_obs, "all", object)) for part in (data, query)]
    batches[1] = np.array([f"query:{name}" for name in batches[1]], object)
    out.obs["batch"] = np.concatenate(batches)
    labels = [part.obs.get("cell_type", np.full(part.n_obs, None, object)) for part in (data, query)]
    out.obs["cell_type"] = np.concatenate(labels)
    out.uns = {**data.uns, "sceval": {**data.uns["sceval"], "organism": named.uns["sceval"]["organism"]}}
    return out, np.arange(len(names)) >= data.n_obs


def prepare(
    data: CellFile, query: CellFile | None, dataset: str, split: str, split_seed: int
) -> tuple[CellFile, CellFile]:
    """Return view (labels of training and validation cells only, `obs['part']`) and solution.

    `intra`: 70/30 stratified by label. `inter`: whole batches held out, or a second dataset. `cross_species`: a
    second dataset of another organism. `unseen_type`: as `intra`, and a fifth of the types in the test part alone.
    `few_N`: as `intra`, with labels of N cells a type.
    """
    is_query = None
    if query is not None:
        data, is_query = _join(data, query)
    labels = data.obs["cell_type"]
    shown = np.ones(len(labels), bool)
    if split == "intra":
        part = splits.intra(labels, split_seed)
    elif split.startswith("few_"):
        part, shown = splits.few_shot(labels, split_seed, int(split.removeprefix("few_")))
    elif split == "unseen_type":
        part, _types = splits.unseen_type(labels, split_seed)
    elif is_query is not None:
        part = splits.from_query(labels, is_query, split_seed)
    else:
        part, _held = splits.inter(labels, data.obs["batch"], split_seed)
    _check_parts(part, labels, dataset, split)
    view = view_of(data, dataset, ID, split)
    view.obs["part"] = part
    view.obs["cell_type"] = np.where((part == "test") | ~shown, None, labels)
    solution = solution_of(data, dataset, ID, split)
    solution.obs["part"] = part
    return view, solution


def _check_parts(part: np.ndarray, labels: np.ndarray, dataset: str, split: str) -> None:
    known = np.array([label is not None for label in labels])
    n_test, types = int((known & (part == "test")).sum()), sorted(set(labels[known & (part == "train")]))
    if not n_test or len(types) < 2:
        found = f"{n_test} labelled test cells, and {len(types)} cell types in the training part"
        expected = "at least one labelled test cell and two types to learn"
        raise ContractError([Problem(f"dataset {dataset}, split {split}", found, expected)])
