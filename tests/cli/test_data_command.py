"""`sceval data list | describe | fetch` against a server on the loopback."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import sparse

from loopback import serving
from sceval.cli.main import main
from sceval.contract import CellFile, h5ad
from sceval.data.convert import content_mark
from sceval.data.dataset import read_dataset
from sceval.data.published import COLUMNS
from sceval.data.sheets import read_datasets

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str | Path):
    return CliRunner().invoke(main, ["data", *map(str, words)])


def cells(folder: Path) -> CellFile:
    n, g = 12, 6
    names = np.array([f"cell{i}" for i in range(n)], object)
    out = CellFile(names, np.array([f"g{i}" for i in range(g)], object))
    out.X = sparse.csr_matrix(np.arange(1, n * g + 1).reshape(n, g).astype(np.float32))
    out.obs = {"tech": np.array(["a", "b"] * 6, object), "type": np.array(["x", "x", "y", "y"] * 3, object)}
    h5ad.write(folder / "made.h5ad", out)
    return out


@pytest.fixture
def place(tmp_path: Path):
    """Yield the server, a function that writes a catalogue of one entry, and the folder."""
    with serving() as server:
        made = cells(tmp_path)
        server.files["/made.h5ad"] = (tmp_path / "made.h5ad").read_bytes()
        digest = hashlib.sha256(server.files["/made.h5ad"]).hexdigest()
        base = {
            "dataset": "toy", "title": "Toy", "source": "a test", "accession": "GSE1", "file": "made.h5ad",
            "url": f"{server.url}/made.h5ad", "sha256": digest, "licence": "CC0", "conversion": "h5ad",
            "group": "g1;g2", "tasks": "batch_integration;simulation_of_mars", "keys": "batch_key=tech;label_key=type",
        }  # fmt: skip

        def write(*changes: dict[str, str]) -> Path:
            path = tmp_path / "catalogue.csv"
            with path.open("w", newline="") as handle:
                writer = csv.DictWriter(handle, [column.name for column in COLUMNS])
                writer.writeheader()
                writer.writerows([base | change for change in changes or ({},)])
            return path

        yield server, write, tmp_path, content_mark(made.X)


def test_a_dataset_is_fetched_converted_and_has_its_row(place) -> None:
    _server, write, folder, mark = place
    done = run("fetch", "toy", "--to", folder / "data", "--catalogue", write({"content": mark}))
    assert done.exit_code == 0, done.output
    sheet = read_datasets(folder / "data" / "datasets.csv")
    assert sheet.problems == []
    row = sheet.rows[0]
    assert (row["path"], row["batch_key"], row["tasks"]) == ("toy.h5ad", "tech", ["batch_integration"])
    assert row["source"] == "a test GSE1"
    data = read_dataset(row, folder / "data" / "toy.h5ad")
    assert data.X.shape == (12, 6)
    assert set(data.obs["cell_type"]) == {"x", "y"}


def test_fetching_again_loads_nothing_and_keeps_other_rows(place) -> None:
    server, write, folder, _mark = place
    sheet = folder / "data" / "datasets.csv"
    catalogue = write({}, {"dataset": "other"})
    assert run("fetch", "--group", "g1", "--to", folder / "data", "--catalogue", catalogue).exit_code == 0
    assert run("fetch", "toy", "--to", folder / "data", "--catalogue", catalogue).exit_code == 0
    assert [row["dataset"] for row in read_datasets(sheet).rows] == ["other", "toy"]
    assert len(server.asked) == 2


def test_counts_stand_in_for_a_digest(place) -> None:
    _server, write, folder, mark = place
    options = ("--to", folder / "data", "--catalogue")
    refused = run("fetch", "toy", *options, write({"sha256": ""}))
    assert refused.exit_code == 1
    assert "nobody has verified made.h5ad" in refused.output
    assert run("fetch", "toy", *options, write({"sha256": "", "content": mark})).exit_code == 0
    wrong = run("fetch", "toy", *options, write({"sha256": "", "content": "1x1:1:0"}))
    assert wrong.exit_code == 1
    assert f"its counts are {mark}; the catalogue says 1x1:1:0" in wrong.output


def test_what_fails_is_told_and_the_others_are_fetched(place) -> None:
    server, write, folder, _mark = place
    server.answers["/page"] = [(200, {"Content-Type": "text/html"}, b"<html><title>Sorry</title></html>")]
    catalogue = write({"dataset": "bad", "url": f"{server.url}/page"}, {"dataset": "good"})
    done = run("fetch", "bad", "good", "--to", folder / "data", "--catalogue", catalogue)
    assert done.exit_code == 1
    assert "1 not fetched:" in done.output
    assert "web page titled 'Sorry'" in done.output
    assert (folder / "data" / "good.h5ad").is_file()
    assert not (folder / "data" / "bad.h5ad").exists()


def test_a_key_that_the_file_lacks_is_told_and_left_out(place) -> None:
    _server, write, folder, _mark = place
    catalogue = write({"keys": "batch_key=tech;label_key=celltype"})
    done = run("fetch", "toy", "--to", folder / "data", "--catalogue", catalogue)
    assert done.exit_code == 0
    assert "no 'celltype' for label_key (obs: tech, type)" in done.output
    assert read_datasets(folder / "data" / "datasets.csv").rows[0]["label_key"] == ""


def test_list_and_describe(place) -> None:
    _server, write, _folder, _mark = place
    catalogue = write({}, {"dataset": "hand", "url": "", "sha256": "", "conversion": "by_hand", "group": "g3"})
    lines = run("list", "--catalogue", catalogue).output.splitlines()
    assert [line.split()[0] for line in lines] == ["dataset", "toy", "hand"]
    assert "by hand" in lines[2]
    assert len(run("list", "--group", "g2", "--catalogue", catalogue).output.splitlines()) == 2
    unknown = run("list", "--group", "g9", "--catalogue", catalogue)
    assert unknown.exit_code == 2
    assert "there are g1, g2, g3" in unknown.output
    assert "batch_key = tech, label_key = type" in run("describe", "toy", "--catalogue", catalogue).output
    told = json.loads(run("describe", "toy", "--json", "--catalogue", catalogue).output)
    assert (told["checked"], told["keys"]["label_key"]) == ("verified", "type")
    assert run("fetch", "--catalogue", catalogue).exit_code == 2
    assert "did you mean 'toy'?" in run("describe", "toi", "--catalogue", catalogue).output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"keys": "batchkey=tech"}, "column keys: found 'batchkey'"),
        ({"conversion": "by_hand"}, "by_hand exactly where a file has no address"),
        ({"conversion": "rds"}, "column conversion: found 'rds'"),
    ],
)
def test_a_bad_catalogue_is_told(place, changes: dict[str, str], told: str) -> None:
    _server, write, _folder, _mark = place
    done = run("list", "--catalogue", write(changes))
    assert done.exit_code == 1
    assert told in done.output


def test_the_catalogue_of_the_project() -> None:
    listed = json.loads(run("list", "--json", "--catalogue", ROOT / "assets" / "datasets_catalogue.csv").output)
    by_name = {entry["dataset"]: entry for entry in listed}
    study4 = {name for name, entry in by_name.items() if "study4" in entry["group"]}
    assert study4 == {"pancrm", "human_pbmc", "cell_lines", "mca"}
    tiny = {name for name, entry in by_name.items() if "tiny" in entry["group"]}
    assert tiny == {"pbmc_facs_zheng", "pbmc10k_cite", "pbmc5k_v3"}
    assert by_name["pbmc10k_cite"]["checked"] == "by its counts"
    assert all(entry["source"] and entry["licence"] for entry in listed)


@pytest.mark.parametrize("name", ["pbmc10k_cite", "pbmc5k_v3"])
def test_the_marks_are_those_of_the_cells_that_the_tiny_checkpoints_saw(name: str) -> None:
    path = ROOT.parent / "shared" / "data" / f"{name}.h5ad"
    if not path.is_file():
        pytest.skip(f"{path.name} of ../shared/data is not here")
    listed = json.loads(run("describe", name, "--json").output)
    assert listed["content"] == content_mark(h5ad.read(path).X)
