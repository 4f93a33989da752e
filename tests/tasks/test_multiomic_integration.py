"""Multi-omic integration on planted peaks: views, pairs, anchors, controls, degenerate submissions, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from sceval import tasks
from sceval.contract import CellFile, ContractError, h5ad, h5mu
from sceval.contract.results import Embedding, write_result
from sceval.data import embedded
from sceval.data.dataset import read_dataset
from sceval.data.needs import lacking, split_reason
from sceval.data.second_modality import as_genes
from sceval.data.sheets import DATASETS
from sceval.data.validate import dataset_card
from sceval.models.controls.embeddings import depth
from sceval.models.multiomics.program import INFO, integrate
from sceval.models.request import NotApplicable, Request
from sceval.tasks.guard import BadOutput
from sceval.tasks.multiomic_integration.anchors import transfer_anchors
from sceval.tasks.multiomic_integration.extra import Extras, pair_rows

TASK = tasks.get("multiomic_integration")
EMPTY = {column.name: column.default for column in DATASETS} | {"dataset": "d", "row": 2, "tasks": []}
N = 260
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def _cut(cells: CellFile, rows: np.ndarray) -> CellFile:
    obs = {name: values[rows] for name, values in cells.obs.items()}
    return CellFile(
        cells.obs_names[rows], cells.var_names, X=cells.X[rows], obs=obs, var=cells.var, uns=dict(cells.uns)
    )


@pytest.fixture(scope="module")
def data() -> CellFile:
    row = EMPTY | {"path": "embedded:pbmc68k_multiome", "batch_key": "batch", "label_key": "cell_type"}
    whole = read_dataset(row, None)
    rows = np.sort(np.random.default_rng(0).permutation(whole.n_obs)[:N])
    out = _cut(whole, rows)
    out.uns["second"] = _cut(whole.uns["second"], rows)
    return out


@pytest.fixture(scope="module")
def unpaired(data):
    return TASK.prepare(data, None, "d", "unpaired", 0)


@pytest.fixture(scope="module")
def paired(data):
    return TASK.prepare(data, None, "d", "paired", 0)


def _scored(X, view, solution, folder):
    write_result(folder / "output.h5ad", view, X if isinstance(X, Embedding) else Embedding(np.asarray(X)))
    return TASK.score(folder / "output.h5ad", view, solution, TASK.plan(view, solution), "sceval", False)


def _baseline(view, method):
    params = {param.name: param.default for param in INFO.params} | {"method": method}
    return integrate(Request(view, "scratch", params, 0, "cpu")).X


# -- views -------------------------------------------------------------------------------------------------------------


def test_the_unpaired_view_hides_who_pairs_with_whom(data, unpaired):
    view, solution = unpaired
    assert view.n_obs == 2 * N
    assert set(view.obs) == {"batch", "modality"}
    assert list(view.obs["batch"]) == list(view.obs["modality"])
    rna, other = pair_rows(solution)
    assert len(rna) == N
    assert not set(view.obs_names) & set(data.obs_names)
    assert np.mean(rna == other - N) < 0.05  # the order of the rows tells nothing
    cell = {name: row for row, name in enumerate(data.obs_names)}
    activity = as_genes(data)[0]
    genes = [list(data.var_names).index(name) for name in view.var_names]
    for row in (0, 7):
        source = cell[solution.obs["pair"][rna[row]]]
        assert (view.X[rna[row]] != data.X[source][:, genes]).nnz == 0
        assert (view.X[other[row]] != activity[source][:, genes]).nnz == 0


def test_labels_are_shown_for_both_rows_of_a_cell_or_for_neither(data):
    view, solution = TASK.prepare(data, None, "d", "unpaired_labels", 1)
    part, cell = view.obs["part"], solution.obs["pair"]
    assert {len(set(part[cell == name])) for name in set(cell)} == {1}
    assert all(label is None for label in view.obs["cell_type"][part == "test"])
    assert np.mean(part == "test") == pytest.approx(0.3, abs=0.01)
    assert len(TASK.plan(view, solution).masks[0]) == (part == "test").sum()


def test_paired_mosaic_and_single_views_have_the_same_cells(data, paired):
    view, _ = paired
    assert list(view.obs_names) == list(data.obs_names)
    assert set(view.var["modality"]) == {"rna", "peak"}
    for split, kind in (("rna_only", "rna"), ("other_only", "peak")):
        alone, solution = TASK.prepare(data, None, "d", split, 0)
        assert list(alone.obs_names) == list(view.obs_names)
        assert set(alone.var["modality"]) == {kind}
        assert (view.X[:, view.var["modality"] == kind] != alone.X).nnz == 0
    mosaic, solution = TASK.prepare(data, None, "d", "mosaic", 0)
    counts = dict(zip(*np.unique(solution.obs["modality"].astype(str), return_counts=True), strict=True))
    assert set(counts) == {"paired", "rna", "atac"}
    assert max(counts.values()) - min(counts.values()) <= 1
    only = mosaic.obs["modality"] == "rna"
    assert mosaic.X[only][:, mosaic.var["modality"] == "peak"].nnz == 0
    assert mosaic.X[only][:, mosaic.var["modality"] == "rna"].nnz > 0


# -- controls and baselines --------------------------------------------------------------------------------------------


def test_controls_stand_where_they_must_on_the_headline_metrics(unpaired, tmp_path):
    view, solution = unpaired
    measured = transfer_anchors(view, solution)
    oracle = _scored(TASK.oracle(view, solution, 0), view, solution, tmp_path).values
    noise = _scored(np.random.default_rng(0).normal(size=(view.n_obs, 16)), view, solution, tmp_path).values
    zero = {"foscttm": 0.5} | {name: measured[name]["floor"][0] for name in ("match10", "transfer_balanced")}
    for metric in ("foscttm", "transfer_balanced"):
        one = np.mean(measured[metric]["ceiling"])
        scale = {
            name: (run[metric] - zero[metric]) / (one - zero[metric])
            for name, run in (("oracle", oracle), ("noise", noise))
        }
        assert 0.9 < scale["oracle"] < 1.7, (metric, scale)  # halves of the RNA know less than the oracle
        assert abs(scale["noise"]) < 0.15, (metric, scale)
    assert oracle["s_final"] > 0.85
    assert noise["s_final"] < 0.55
    assert noise["match10"] == pytest.approx(10 / N, abs=0.02)


def test_baselines_learn_the_planted_link_and_it_is_not_trivial(unpaired, tmp_path):
    view, solution = unpaired
    for method in ("cca", "scaled_pca"):
        found = Extras(_baseline(view, method), solution).values()
        assert 0.05 < found["foscttm"] < 0.4, (method, found)
        assert found["transfer_balanced"] > 0.3
    with pytest.raises(NotApplicable, match="one gene space"):
        _baseline(view, "concatenated")


def test_the_second_modality_helps_where_rna_tells_nothing(data, paired, tmp_path):
    view, solution = paired
    joint = Extras(_baseline(view, "concatenated"), solution)
    alone = {
        split: Extras(_baseline(TASK.prepare(data, None, "d", split, 0)[0], "concatenated"), solution)
        for split in ("rna_only", "other_only")
    }
    difference = joint.units["knn_factor"] - alone["rna_only"].units["knn_factor"]
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert difference.mean() > 4 * error  # paired over cells
    assert alone["rna_only"].values()["knn_factor"] == pytest.approx(0.5, abs=0.12)
    assert joint.values()["knn_label"] > alone["other_only"].values()["knn_label"]
    with pytest.raises(NotApplicable, match="two modalities"):
        _baseline(view, "scaled_pca")


# -- red team ----------------------------------------------------------------------------------------------------------


def test_cheats_that_use_no_gene_find_no_pair(unpaired):
    view, solution = unpaired
    rng = np.random.default_rng(0)
    truth = TASK.oracle(view, solution, 0).X
    modality = np.unique(view.obs["modality"].astype(str), return_inverse=True)[1]
    numbers = np.array([int(name[-6:]) for name in view.obs_names], float)
    cheats = {
        "a point for each modality": np.eye(2)[modality],
        "random": rng.normal(size=(view.n_obs, 16)),
        "depth": depth(view),
        "order of the rows": (np.arange(view.n_obs) % N)[:, None].astype(float),
        "number in the id": numbers[:, None],
        "permuted rows": truth[rng.permutation(view.n_obs)],
        "rna at its place, the other at the mean": np.where(modality[:, None] == 1, truth, truth.mean(axis=0)),
        "mean of all, one cell apart": np.eye(view.n_obs, 2),
        "log total": np.log1p(np.asarray(view.X.sum(axis=1))),
        "squared distance from the mean": (rng.normal(size=(view.n_obs, 3)) ** 2),
    }
    for name, X in cheats.items():
        found = Extras(X, solution).values()
        assert found["foscttm"] == pytest.approx(0.5, abs=0.06), (name, found)
        assert found["match10"] < 0.1, (name, found)
        assert found["transfer_balanced"] < 0.3, (name, found)


def test_noise_fools_mixing_and_islands_of_labels_fool_transfer(unpaired, tmp_path):
    view, solution = unpaired
    noise = _scored(np.random.default_rng(0).normal(size=(view.n_obs, 16)), view, solution, tmp_path).values
    assert noise["cilisi"] > 0.8  # so it stands beside S_final and is no headline
    assert noise["s_batch"] > 0.7
    labels = np.unique(solution.obs["cell_type"].astype(str), return_inverse=True)[1]
    islands = Extras(np.eye(labels.max() + 1)[labels], solution).values()
    assert islands["transfer_balanced"] == 1.0
    assert 0.03 < islands["foscttm"] < 0.3  # the type is known, the partner is not
    assert islands["match10"] < 0.5


def test_scale_shift_and_noise_do_what_they_should(unpaired):
    view, solution = unpaired
    truth = TASK.oracle(view, solution, 0).X
    plain = Extras(truth, solution).values()
    assert Extras(1000 * truth + 5, solution).values()["foscttm"] == pytest.approx(plain["foscttm"])
    rng = np.random.default_rng(1)
    worse = [Extras(truth + rng.normal(0, s, truth.shape), solution).values()["foscttm"] for s in (0.0, 0.5, 2.0)]
    assert worse == sorted(worse)
    modality = (view.obs["modality"] == "rna")[:, None]
    apart = Extras(truth + 100.0 * modality * np.eye(truth.shape[1])[0], solution).values()
    assert apart["foscttm"] > plain["foscttm"]  # a gap between the modalities costs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X: np.zeros_like(X), "constant"),
        (lambda X: np.where(np.arange(len(X))[:, None] < 0.6 * len(X), np.nan, X), "no embedding"),
        (lambda X: np.where(np.arange(X.size).reshape(X.shape) == 3, np.inf, X), "infinite|finite"),
        (lambda X: X[:, :0], "no dimension"),
    ],
)
def test_broken_outputs_are_refused_with_a_reason(unpaired, tmp_path, change, said):
    view, solution = unpaired
    X = np.random.default_rng(0).normal(size=(view.n_obs, 4)).astype(np.float32)
    h5ad.write(tmp_path / "output.h5ad", CellFile(view.obs_names, obsm={"X_emb": change(X)}))
    with pytest.raises(BadOutput, match=said):
        TASK.score(tmp_path / "output.h5ad", view, solution, TASK.plan(view, solution), "sceval", False)


def test_cells_that_are_absent_are_refused(unpaired, tmp_path):
    view, solution = unpaired
    h5ad.write(tmp_path / "output.h5ad", CellFile(view.obs_names[5:], obsm={"X_emb": np.ones((view.n_obs - 5, 2))}))
    with pytest.raises(BadOutput):
        TASK.score(tmp_path / "output.h5ad", view, solution, TASK.plan(view, solution), "sceval", False)


# -- input -------------------------------------------------------------------------------------------------------------


def _card(row, path=None, files=None):
    return dataset_card(row, read_dataset(row, path, files=files))


def test_rna_alone_is_not_applicable_with_what_would_be_right():
    row = EMPTY | {"path": "embedded:pbmc68k_lanes", "batch_key": "batch", "label_key": "cell_type"}
    needs = lacking(_card(row), "multiomic_integration")
    assert len(needs) == 1
    assert ".h5mu" in needs[0].expected


def test_unpaired_modalities_have_no_paired_split_and_peaks_need_a_map(tmp_path):
    cells = embedded.pbmc68k()
    cells = _cut(cells, np.arange(60))
    peaks = np.array([f"chr1:{1000 * i}-{1000 * i + 200}" for i in range(20)], object)
    other = CellFile(
        np.array([f"x{i}" for i in range(50)], object),
        peaks,
        X=sparse.csr_matrix(np.ones((50, 20), np.float32)),
        obs={"cell_type": np.full(50, "CD34+", object)},
    )
    h5mu.write(tmp_path / "a.h5mu", {"rna": cells, "atac": other})
    row = EMPTY | {"path": "a.h5mu", "batch_key": "batch", "label_key": "cell_type"}
    card = _card(row, tmp_path / "a.h5mu")
    assert (card["second"], card["pairs"], card["n_cells"]) == ("atac", 0, 60)
    assert "pairs are needed: 0 cells" in split_reason(card, "multiomic_integration", "paired")
    assert "gene_positions" in split_reason(card, "multiomic_integration", "unpaired")
    table = tmp_path / "genes.tsv"
    genes = cells.var_names[:6]
    lines = [f"chr1\t{3000 * i}\t{3000 * i + 900}\t+\t{gene}" for i, gene in enumerate(genes)]
    table.write_text("\n".join(["chrom\tstart\tend\tstrand\tsymbol", *lines]) + "\n")
    row |= {"gene_positions": str(table)}
    data = read_dataset(row, tmp_path / "a.h5mu", files={"gene_positions": table})
    assert split_reason(dataset_card(row, data), "multiomic_integration", "unpaired") == ""
    view, solution = TASK.prepare(data, None, "d", "unpaired", 0)
    assert set(view.obs["modality"]) == {"rna", "atac"}
    assert all(name is None for name in solution.obs["pair"])
    found = Extras(np.random.default_rng(0).normal(size=(view.n_obs, 3)), solution)
    assert "foscttm" not in found.units
    assert "no cell is known to be in both" in found.findings[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"second": "missing.h5ad"}, "column second.*no such file"),
        ({"proteins": "adt"}, "column proteins.*no obsm"),
        ({"gene_positions": "bad.tsv"}, "column gene_positions.*chrom, start"),
    ],
)
def test_bad_columns_are_named(tmp_path, change, said):
    (tmp_path / "bad.tsv").write_text("gene\tplace\nCD3D\t1\n")
    h5ad.write(tmp_path / "a.h5ad", _cut(embedded.pbmc68k(), np.arange(20)))
    files = {name: tmp_path / value for name, value in change.items()}
    with pytest.raises(ContractError, match=said):
        read_dataset(EMPTY | {"path": "a.h5ad"} | change, tmp_path / "a.h5ad", files=files)


# -- real data ---------------------------------------------------------------------------------------------------------


def _shared(name: str) -> CellFile:
    path = SHARED / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"no ../shared/data/{name}.h5ad here")
    return h5ad.read(path)


def test_real_peaks_become_gene_activity_and_rows_of_both_modalities(tmp_path):
    rna, atac = (_shared(f"scicar_a549_{kind}") for kind in ("rna", "atac"))
    rows = np.arange(0, rna.n_obs, 20)
    h5mu.write(tmp_path / "a549.h5mu", {"rna": _cut(rna, rows), "atac": _cut(atac, rows)})
    table = SHARED / "genes" / "gene_positions_hg19.tsv.gz"
    row = EMPTY | {"path": "a549.h5mu", "label_key": "time_h", "gene_positions": str(table)}
    data = read_dataset(row, tmp_path / "a549.h5mu", files={"gene_positions": table})
    card = dataset_card(row, data)
    assert card["second"] == "atac"
    assert card["pairs"] == len(rows)
    assert card["genes_of_second"] > 0.6 * rna.n_vars
    assert not lacking(card, "multiomic_integration")
    view, solution = TASK.prepare(data, None, "d", "unpaired", 0)
    assert set(solution.obs["cell_type"]) == {"0", "1", "3"}
    found = Extras(_baseline(view, "cca"), solution).values()
    assert 0.3 < found["foscttm"] < 0.55  # binary peaks of 133 cells tell little


def test_real_proteins_are_renamed_to_genes_and_find_the_types(tmp_path):
    cite = _shared("pbmc10k_cite")
    rows = np.arange(0, cite.n_obs, 20)
    small = _cut(cite, rows)
    small.obsm["protein"] = {name: values[rows] for name, values in cite.obsm["protein"].items()}
    labels = small.obs["cell_type_adt_gate"]
    small.obs["cell_type_adt_gate"] = np.where(labels == "unassigned", None, labels)
    proteins = CellFile(
        small.obs_names,
        np.array(list(small.obsm["protein"]), object),
        X=sparse.csr_matrix(np.column_stack(list(small.obsm["protein"].values())).astype(np.float32)),
    )
    small.obsm = {}
    h5ad.write(tmp_path / "rna.h5ad", small)
    h5ad.write(tmp_path / "adt.h5ad", proteins)
    row = EMPTY | {"path": "rna.h5ad", "label_key": "cell_type_adt_gate", "second": "adt.h5ad"}
    data = read_dataset(row, tmp_path / "rna.h5ad", files={"second": tmp_path / "adt.h5ad"})
    card = dataset_card(row, data)
    assert (card["second"], card["pairs"]) == ("protein", len(rows))
    assert card["genes_of_second"] == 13  # CD45RA and CD45RO are of one gene
    view, solution = TASK.prepare(data, None, "d", "paired", 0)
    assert "protein:CD19" in view.var_names
    joint = Extras(_baseline(view, "concatenated"), solution).values()
    alone = TASK.prepare(data, None, "d", "rna_only", 0)[0]
    # The labels are gates on these proteins: here the second modality must help.
    assert joint["knn_label"] > Extras(_baseline(alone, "concatenated"), solution).values()["knn_label"]
    unpaired = TASK.prepare(data, None, "d", "unpaired", 0)[0]
    assert {"CD3E", "PTPRC", "NCAM1"} <= set(unpaired.var_names)
