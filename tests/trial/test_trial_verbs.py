"""The trial of each verb: a sound answer passes, and each kind of answer that is not is told."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import sparse

from sceval import contract
from sceval.contract import CellFile, h5ad
from sceval.contract.light_tables import write_table
from sceval.contract.results import (
    Annotation,
    Embedding,
    GeneClasses,
    GeneEmbedding,
    Imputed,
    InSilico,
    Network,
    Perturbed,
    Simulated,
    write_result,
)
from sceval.contract.sample import sample_view
from sceval.contract.tasks import TASKS
from sceval.contract.verbs import WRITES
from sceval.trial.programs import Call, _folders
from sceval.trial.run import VIEWS, Trial


def numbers(names, width):
    """Return numbers that depend on the names alone."""
    draws = [np.random.default_rng(zlib.crc32(str(name).encode())).random(width) + 0.1 for name in names]
    return np.array(draws)


def shares(names, width):
    X = numbers(names, width)
    return X / X.sum(axis=1, keepdims=True)


def _simulated(view):
    told = view.uns["simulation"]
    kinds, homes = np.repeat(told["cell_type"], told["n"]), np.repeat(told["batch"], told["n"])
    X = np.floor(9 * numbers(view.var_names, 1).T * (1 + np.arange(len(kinds)) % 4)[:, None])
    return Simulated(sparse.csr_matrix(X), kinds, homes)


def _network(view):
    pairs = [(s, t) for s in sorted(view.uns["network"]["regulators"]) for t in sorted(view.var_names)[:5] if s != t]
    return Network(*np.array(pairs, object).T, numbers(pairs, 1).ravel())


def _asked(view):
    return np.flatnonzero(view.obs["part"] == "test")


ANSWERS = {
    "embed-cells": lambda view: Embedding(numbers(view.obs_names, 4)),
    "integrate": lambda view: Embedding(numbers(view.obs_names, 4)),
    "embed-genes": lambda view: GeneEmbedding(view.var_names, numbers(view.var_names, 4)),
    "annotate": lambda view: Annotation(
        _asked(view), np.array(["type0", "type1", "type2"], object), shares(view.obs_names[_asked(view)], 3)
    ),
    "classify-genes": lambda view: GeneClasses(
        view.var_names[view.var["part"] == "test"],
        np.array(["class0", "class1"], object),
        shares(view.var_names[view.var["part"] == "test"], 2),
    ),
    "perturb": lambda view: Perturbed(
        view.uns["perturbation"]["targets"], numbers(view.var_names, 1).T.repeat(3, axis=0)
    ),
    "perturb-insilico": lambda view: InSilico(
        view.var_names, "delete", numbers(view.var_names, 1).ravel(), np.full(view.n_vars, 9)
    ),
    "infer-network": _network,
    "impute": lambda view: Imputed(np.arange(view.n_obs), numbers(view.obs_names, 1) @ numbers(view.var_names, 1).T),
    "simulate": _simulated,
}


@dataclass
class Fake:
    """A program of this process: writes what `ANSWERS` gives, then does to the file what `spoil` says."""

    verb: str
    spoil: object = None
    limit_s: float = 1.0
    views: list = field(default_factory=list)

    def call(self, words, place, weights=None):
        work = _folders(place)
        if words == ["info"]:
            info = {"name": "fake", "version": "1", "verbs": [self.verb], "regimes": {self.verb: ["scratch"]}}
            return Call(0, json.dumps(info), "", work / "out", packets=0)
        view = contract.read("view", work / "in" / "view.h5ad")
        self.views.append(view)
        path = work / words[words.index("--output") + 1]
        write_result(path, view, ANSWERS[self.verb](view))
        if self.spoil is not None:
            self.spoil(path)
        return Call(0, "", "", work / "out", packets=0)


def bad(verb, folder, spoil=None):
    """Return the failed checks of a trial of one verb."""
    folder.mkdir(exist_ok=True)
    checks = list(Trial(Fake(verb, spoil), folder).run())
    assert sum(check.result == "pass" for check in checks) >= 3
    return {check.check: check.detail for check in checks if check.result == "FAIL"}


def test_every_verb_has_a_view_and_every_task_is_tried():
    assert set(VIEWS) == set(WRITES) == set(ANSWERS)
    assert {task for tasks in VIEWS.values() for task in tasks} >= set(TASKS)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_views_keep_to_the_contract(task):
    view = sample_view(n=60, g=40, task=task)
    assert contract.check_cells("view", view, "sample") == []
    assert view.uns["sceval"]["split"] in TASKS[task].splits


@pytest.mark.parametrize("verb", sorted(ANSWERS))
def test_a_sound_answer_passes(verb, tmp_path):
    assert bad(verb, tmp_path) == {}


def edit(change):
    """Return what edits an AnnData output after it was written, past every check."""

    def spoil(path):
        cells = h5ad.read(path)
        h5ad.write(path, change(cells) or cells)

    return spoil


def rows(cells: CellFile, kept: slice) -> CellFile:
    out = CellFile(cells.obs_names[kept], cells.var_names, X=None if cells.X is None else cells.X[kept], uns=cells.uns)
    out.obs = {name: values[kept] for name, values in cells.obs.items()}
    out.obsm = {name: values[kept] for name, values in cells.obsm.items()}
    return out


def drop_last(cells):
    return rows(cells, slice(0, cells.n_obs - 1))


def nan(cells):
    cells.X = np.asarray(cells.X, np.float32)
    cells.X[0, 0] = np.nan


def constant(cells):
    cells.X = np.ones_like(cells.X)


def by_place(cells):
    if cells.X is None:
        cells.obsm["X_emb"] = cells.obsm["X_emb"] * np.arange(1, cells.n_obs + 1, dtype=np.float32)[:, None]
    else:
        cells.X = (np.asarray(cells.X) * np.arange(1, cells.n_vars + 1)).astype(np.float32)


def genes_lost(cells):
    return CellFile(cells.obs_names, cells.var_names[1:], X=cells.X[:, 1:], obs=cells.obs)


def one_class(path):
    table = {"gene": ["ENSG1"], "class": ["class0"], "probability": [1.0]}
    write_table("gene_classes", path, {name: np.array(values) for name, values in table.items()})


def no_such_gene(path):
    table = {"source": np.array(["none"]), "target": np.array(["none"]), "score": np.array([1.0])}
    write_table("network", path, table)


FAULTS = {
    "integrate, by place": ("integrate", edit(by_place), "order of cells", "standard deviations"),
    "annotate, dropped": ("annotate", edit(drop_last), "complete", "1 of 50 cells are absent"),
    "embed-genes, constant": ("embed-genes", edit(constant), "varies", "constant"),
    "embed-genes, NaN": ("embed-genes", edit(nan), "finite", "1 of 300 genes have NaN"),
    "perturb, dropped": ("perturb", edit(drop_last), "complete", "1 of 3 perturbations are absent"),
    "perturb, genes": ("perturb", edit(genes_lost), "complete", "1 of 300 genes of the view are absent"),
    "perturb, by place": ("perturb", edit(by_place), "order of cells", "standard deviations"),
    "impute, dropped": ("impute", edit(drop_last), "complete", "1 of 200 cells are absent"),
    "impute, NaN": ("impute", edit(nan), "contract", "NaN"),
    "simulate, dropped": ("simulate", edit(drop_last), "complete", "9 cells of"),
    "classify-genes, one": ("classify-genes", one_class, "complete", "genes of no id in the view"),
    "infer-network, strange": ("infer-network", no_such_gene, "complete", "'none' is no gene of the view"),
    "perturb-insilico, gone": ("perturb-insilico", lambda path: path.unlink(), "contract", "no such file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_kind_of_output_is_looked_at(fault, tmp_path):
    verb, spoil, check, message = FAULTS[fault]
    told = bad(verb, tmp_path, spoil)
    assert message in told.get(check, ""), told


def test_integrate_is_tried_on_several_modalities_too(tmp_path):
    program = Fake("integrate")
    checks = list(Trial(program, tmp_path).run())
    assert {check.verb for check in checks} == {"info", "integrate", "integrate (multiomic)"}
    assert {"modality" in view.var for view in program.views} == {True, False}


def test_a_negative_control_may_be_constant(tmp_path, monkeypatch):
    monkeypatch.setitem(ANSWERS, "embed-cells", lambda view: Embedding(np.ones((view.n_obs, 2))))
    assert set(bad("embed-cells", tmp_path / "a")) == {"varies"}
    (tmp_path / "b").mkdir()
    checks = list(Trial(Fake("embed-cells"), tmp_path / "b", may_be_constant=True).run())
    assert [check for check in checks if check.result == "FAIL"] == []
