"""The guard: what is looked at in an output before any score is made.

An output that breaks the contract is `failed (bad_output)` with a reason; what could be put right (another order of
the cells) is done and said.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from sceval.contract import CellFile, ContractError, check, h5ad
from sceval.contract.light_tables import read_table

MOST_MISSING = 0.5
"""Share of cells that a model may fail to embed before its output is refused."""


class BadOutput(ValueError):
    """An output that cannot be scored; the message becomes the reason of the run."""


class NotPossible(ValueError):
    """The shared head cannot be had on this dataset, for a reason that is no error of the model."""


def read_kind(kind: str, path: Path) -> CellFile:
    """Return an output of a kind.

    Raises
    ------
    BadOutput
        If it breaks its schema.
    """
    problems = check(kind, path)
    if problems:
        raise BadOutput("; ".join(str(problem).replace(f"{path}", "output", 1) for problem in problems[:3]))
    return h5ad.read(path)


def rows_of(output: CellFile, wanted: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Return for each wanted cell its row in the output.

    Raises
    ------
    BadOutput
        If cells are absent, or rows are genes.
    """
    where = {name: row for row, name in enumerate(output.obs_names)}
    absent = [name for name in wanted if name not in where]
    if not absent:
        return np.array([where[name] for name in wanted], int)
    if len(absent) == len(wanted) and set(output.obs_names) & set(genes):
        msg = "the output is transposed: its rows are genes of the view, not cells"
    else:
        msg = f"{len(absent)} of {len(wanted)} cells are absent from the output, the first is {absent[0]!r}"
    raise BadOutput(msg)


def embedding(path: Path, view: CellFile) -> tuple[np.ndarray, list[str]]:
    """Return the embedding (n x d, float32) in the order of the view, and what was found.

    Rows of NaN (cells that the model could not embed) become the mean of the others, and are counted.

    Raises
    ------
    BadOutput
        If cells are absent or doubled, the matrix is transposed, not finite, constant, or mostly missing.
    """
    return embedding_of(read_kind("cell_embedding", path), view)


def embedding_of(output: CellFile, view: CellFile) -> tuple[np.ndarray, list[str]]:
    """As `embedding`, of an output that is read already."""
    if "X_emb" not in output.obsm:
        msg = "output: obsm/X_emb: found nothing; expected n x d, float32, one vector for each cell"
        raise BadOutput(msg)
    findings = []
    rows = rows_of(output, view.obs_names, view.var_names)
    extra = output.n_obs - view.n_obs
    if extra:
        findings.append(f"{extra} cells of the output are not in the view; left out")
    elif not np.array_equal(output.obs_names, view.obs_names):
        findings.append("the output has the cells in another order; the order was restored by their ids")
    X = output.obsm["X_emb"][rows]
    if X.shape[1] == 0:
        msg = "the embedding has no dimension"
        raise BadOutput(msg)
    missing = np.isnan(X).all(axis=1)
    if missing.mean() > MOST_MISSING:
        msg = f"{int(missing.sum())} of {len(X)} cells have no embedding (rows of NaN)"
        raise BadOutput(msg)
    if not np.isfinite(X[~missing]).all():
        bad = ~np.isfinite(X).all(axis=1) & ~missing
        first = view.obs_names[bad.argmax()]
        msg = f"{int(bad.sum())} cells have values that are NaN or infinite, the first is {first!r}"
        raise BadOutput(msg)
    if missing.any():
        X = X.copy()
        X[missing] = X[~missing].mean(axis=0)
        findings.append(f"{int(missing.sum())} cells have no embedding (rows of NaN); scored at the mean of the others")
    if np.ptp(X, axis=0).max() == 0:
        msg = "the embedding is constant: every cell has the same vector"
        raise BadOutput(msg)
    return X, findings


def annotation(path: Path, view: CellFile, wanted: np.ndarray) -> tuple[CellFile, list[str]]:
    """Return the annotation restricted to the wanted cells (ids), in that order, and what was found.

    Raises
    ------
    BadOutput
        If cells are absent or probabilities do not add up to 1.
    """
    output = read_kind("annotation", path)
    rows = rows_of(output, wanted, view.var_names)
    findings = []
    known = {label for label in view.obs["cell_type"] if label is not None}
    unknown = sorted(set(output.obs["prediction"]) - known - {"unassigned"})
    if unknown:
        findings.append(f"predicted labels that no training cell has: {', '.join(unknown[:5])}; they count as wrong")
    out = CellFile(output.obs_names[rows], obs={key: value[rows] for key, value in output.obs.items()})
    probability = output.obsm.get("probability")
    if probability is not None:
        classes = output.uns.get("classes")
        if classes is None or len(classes) != probability.shape[1]:
            named = 0 if classes is None else len(classes)
            msg = f"probability has {probability.shape[1]} columns and uns/classes names {named}"
            raise BadOutput(msg)
        sums = probability[rows].sum(axis=1)
        if np.abs(sums - 1).max() > 1e-3:
            worst = int(np.abs(sums - 1).argmax())
            msg = f"the probabilities of cell {wanted[worst]!r} add up to {sums[worst]:.4f}, not to 1"
            raise BadOutput(msg)
        if len(set(classes)) < len(classes):
            twice = next(name for name in classes if list(classes).count(name) > 1)
            msg = f"uns/classes names {twice!r} more than once"
            raise BadOutput(msg)
        out.obsm["probability"] = np.clip(probability[rows], 0.0, 1.0)  # the contract leaves room for rounding
        out.uns["classes"] = np.asarray(classes, object)
    else:
        findings.append("no probabilities in the output: log-loss, Brier score and ECE are not computed")
    return out, findings


def gene_embedding(path: Path, view: CellFile) -> tuple[np.ndarray, list[str]]:
    """Return the vectors of the view's genes (g x d, float32) in its order, and what was found.

    Genes that are absent or have a row of NaN get the mean of the others, and are counted.

    Raises
    ------
    BadOutput
        If no gene is one of the view's, too many are missing, or values are not finite or constant.
    """
    output = read_kind("gene_embedding", path)
    where = {name: row for row, name in enumerate(output.obs_names)}
    X = np.full((view.n_vars, output.X.shape[1]), np.nan, np.float32)
    here = np.array([name in where for name in view.var_names], bool)
    if not here.any():
        msg = f"none of its {output.n_obs} genes is a gene of the view, the first is {output.obs_names[0]!r}"
        raise BadOutput(msg)
    X[here] = output.X[[where[name] for name in view.var_names[here]]]
    missing = np.isnan(X).all(axis=1) if X.shape[1] else np.ones(len(X), bool)
    if missing.mean() > MOST_MISSING:
        msg = f"{int(missing.sum())} of {len(X)} genes have no vector"
        raise BadOutput(msg)
    bad = ~np.isfinite(X).all(axis=1) & ~missing
    if bad.any():
        first = view.var_names[bad.argmax()]
        msg = f"{int(bad.sum())} genes have values that are NaN or infinite, the first is {first!r}"
        raise BadOutput(msg)
    if np.ptp(X[~missing], axis=0).max() == 0:
        msg = "the embedding is constant: every gene has the same vector"
        raise BadOutput(msg)
    findings = []
    if missing.any():
        X[missing] = X[~missing].mean(axis=0)
        findings.append(f"{int(missing.sum())} genes have no vector; they stand at the mean of the others")
    return X, findings


def table(kind: str, path: Path) -> dict[str, np.ndarray]:
    """Return the columns of an output that is a table.

    Raises
    ------
    BadOutput
        If it breaks its schema.
    """
    try:
        return read_table(kind, path)
    except ContractError as error:
        raise BadOutput("; ".join(str(p).replace(f"{path}", "output", 1) for p in error.problems[:3])) from error


def gene_classes(path: Path, view: CellFile, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return class names (c), probabilities of the wanted genes (m x c), and what was found.

    Raises
    ------
    BadOutput
        If genes are absent or probabilities are outside 0 to 1 or do not sum to 1.
    """
    columns = table("gene_classes", path)
    classes = np.unique(columns["class"].astype(str))
    rows = {name: row for row, name in enumerate(wanted)}
    probability, given = np.zeros((len(wanted), len(classes))), np.zeros(len(wanted), bool)
    column = np.searchsorted(classes, columns["class"].astype(str))
    for gene, place, value in zip(columns["gene"], column, columns["probability"], strict=True):
        row = rows.get(gene)
        if row is not None:
            probability[row, place], given[row] = value, True
    if not given.all():
        msg = f"{int((~given).sum())} of {len(wanted)} genes are absent from the output, the first is "
        raise BadOutput(msg + repr(wanted[(~given).argmax()]))
    if probability.min() < -1e-6 or np.abs(probability.sum(axis=1) - 1).max() > 1e-3:
        worst = int(np.abs(probability.sum(axis=1) - 1).argmax())
        msg = f"the probabilities of gene {wanted[worst]!r} add up to {probability[worst].sum():.4f}, not to 1"
        raise BadOutput(msg)
    known = {label for label in view.var["gene_class"] if label is not None}
    unknown = sorted(set(classes) - known)
    findings = [f"classes that no training gene has: {', '.join(unknown[:5])}"] if unknown else []
    return classes.astype(object), np.clip(probability, 0.0, 1.0), findings


LARGEST_LOG = float(np.log1p(1e4))
"""Largest value that log1p of counts per 10,000 can have; means of moved cells may go beyond it, not twice as far."""


def perturbed(
    path: Path, view: CellFile, wanted: list[tuple[str, str]]
) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    """Return predicted expression in the genes of the view, the rows of each wanted target, and what was found.

    Parameters
    ----------
    wanted
        Perturbation and context of each target; contexts are looked at where the view has any.

    Raises
    ------
    BadOutput
        If a target or a gene is absent, or a value cannot be log1p of CP10k.
    """
    output = read_kind("perturbation", path)
    columns = {name: column for column, name in enumerate(output.var_names)}
    absent = [name for name in view.var_names if name not in columns]
    if absent:
        msg = f"{len(absent)} of {view.n_vars} genes of the view are absent from the output, the first is {absent[0]!r}"
        raise BadOutput(msg)
    X = output.X[:, [columns[name] for name in view.var_names]]
    findings = []
    names = output.obs["perturbation"].astype(str)
    contexts = output.obs["context"].astype(str) if "context" in output.obs else None
    if "context" in view.obs and contexts is None and len({context for _, context in wanted}) > 1:
        msg = "the view asks for several contexts and the output has no obs['context']"
        raise BadOutput(msg)
    where: dict[tuple[str, str], list[int]] = {}
    for row, name in enumerate(names):
        where.setdefault((name, "" if contexts is None else contexts[row]), []).append(row)
    keys = [(name, context if contexts is not None and "context" in view.obs else "") for name, context in wanted]
    if "context" not in view.obs and contexts is not None:
        where = {}
        for row, name in enumerate(names):
            where.setdefault((name, ""), []).append(row)
    missing = [key for key in keys if key not in where]
    if missing:
        told = " in ".join(part for part in missing[0] if part)
        msg = f"{len(missing)} of {len(keys)} targets are absent from the output, the first is {told!r}"
        raise BadOutput(msg)
    extra = len(names) - sum(len(where[key]) for key in keys)
    if extra:
        findings.append(f"{extra} rows of the output are of perturbations that were not asked for; left out")
    rows = [np.array(where[key], int) for key in keys]
    top = max(float(X[places].mean(axis=0).max()) for places in rows)
    told = f"a mean value of {top:.3g}: log1p of counts per 10,000 is at most {LARGEST_LOG:.3g}"
    if top > 2 * LARGEST_LOG:
        msg = f"{told} (counts, or no logarithm?)"
        raise BadOutput(msg)
    if top > LARGEST_LOG:
        findings.append(told)
    return X, rows, findings


def simulated(path: Path, view: CellFile) -> tuple[sparse.csr_matrix, np.ndarray, list[str]]:
    """Return generated counts (m x g CSR, genes of the view), the type of each, and what was found.

    As many cells of each type and batch as the view asks for, in its order; those that are too many are left out. Where
    the output names no batch only types are counted.

    Raises
    ------
    BadOutput
        If genes are absent, a type and batch has too few cells, values are no counts, or nothing is above 0.
    """
    output = read_kind("simulated", path)
    columns = {name: column for column, name in enumerate(output.var_names)}
    absent = [name for name in view.var_names if name not in columns]
    if absent:
        turned = "; the output is transposed" if set(output.obs_names) & set(view.var_names) else ""
        msg = f"{len(absent)} of {view.n_vars} genes of the view are absent from the output, the first is {absent[0]!r}"
        raise BadOutput(msg + turned)
    findings = []
    if not np.array_equal(output.var_names, view.var_names):
        findings.append("the output has other genes too, or another order; they were put in order by their ids")
    X = sparse.csr_matrix(output.X)[:, [columns[name] for name in view.var_names]]
    if not X.count_nonzero():
        msg = "no generated cell has any count"
        raise BadOutput(msg)
    asked = view.uns["simulation"]
    wanted = [np.atleast_1d(asked["cell_type"]).astype(str)]
    given = [output.obs["cell_type"].astype(str)]
    if "batch" in asked and "batch" in output.obs:
        wanted.append(np.atleast_1d(asked["batch"]).astype(str))
        given.append(output.obs["batch"].astype(str))
    elif "batch" in asked:
        findings.append("the output names no batch: only types are counted")
    need: dict[tuple[str, ...], int] = {}
    for key, size in zip(zip(*wanted, strict=True), np.atleast_1d(asked["n"]), strict=True):
        need[key] = need.get(key, 0) + int(size)
    have: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*given, strict=True)):
        have.setdefault(key, []).append(row)
    short = [key for key, size in need.items() if len(have.get(key, ())) < size]
    if short:
        key = short[0]
        told = f"{len(have.get(key, ()))} of {' in batch '.join(repr(str(part)) for part in key)}"
        msg = f"{len(short)} of {len(need)} groups have too few cells: {told} where {need[key]} are asked for"
        raise BadOutput(msg)
    rows = np.array([row for key, size in need.items() for row in have[key][:size]], int)
    if len(rows) < output.n_obs:
        findings.append(f"{output.n_obs - len(rows)} generated cells more than were asked for; left out")
    return X[rows], given[0][rows], findings


def imputed(path: Path, view: CellFile, rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return expected counts (m x g, float32) of the cells at `rows`, in the order of the view, and what was found.

    Raises
    ------
    BadOutput
        If cells or genes are absent or doubled, or values are negative or not finite.
    """
    output = read_kind("imputed", path)
    wanted = view.obs_names[rows]
    places = rows_of(output, wanted, view.var_names)
    where = {name: column for column, name in enumerate(output.var_names)}
    absent = [name for name in view.var_names if name not in where]
    if absent:
        msg = f"{len(absent)} of {view.n_vars} genes are absent from the output, the first is {absent[0]!r}"
        raise BadOutput(msg)
    findings = []
    columns = np.array([where[name] for name in view.var_names], int)
    if not np.array_equal(columns, np.arange(output.n_vars)):
        findings.append("the output has the genes in another order, or more of them; put right by their ids")
    if not np.array_equal(output.obs_names, wanted):
        findings.append("the output has other cells too, or another order; put right by their ids")
    return output.X[places][:, columns], findings
