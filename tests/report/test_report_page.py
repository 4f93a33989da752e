"""The page as a file: complete, offline, escaped, every status shown, broken tables named."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from make_results import HOLES, HOSTILE, INTEGRATION, TYPES, make

from sceval.report import build
from sceval.report.build import SECTIONS


class Tree(HTMLParser):
    """Elements, ids, links and what would be loaded."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input", "col", "source", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.names: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(values["id"])
        href = values.get("href") or ""
        if tag == "a":
            self.links.append(href)
        elif not href.startswith(("#", "data:")):
            self.loads.append(href)
        self.loads += [values[name] for name in ("src", "srcset", "data", "action", "poster") if values.get(name)]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def parsed(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    tree.close()
    assert not tree.open
    return tree


@pytest.fixture(scope="module")
def html(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(html: str) -> Tree:
    return parsed(html)


def test_elements_are_closed_and_ids_unique(tree: Tree) -> None:
    assert len(tree.ids) == len(set(tree.ids))
    assert {section.id for section in SECTIONS} <= set(tree.ids)


def test_links_inside_lead_somewhere(tree: Tree) -> None:
    inside = {link[1:] for link in tree.links if link.startswith("#")}
    assert len(inside) > len(SECTIONS)
    assert inside <= set(tree.ids)


def test_nothing_is_loaded(html: str, tree: Tree) -> None:
    assert [load for load in tree.loads if load] == []
    assert "link" not in tree.names and "iframe" not in tree.names
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", html)


def test_policy_forbids_requests_and_names_the_script(html: str) -> None:
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    script = html.rsplit("<script>", 1)[1].split("</script>")[0]
    import hashlib

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"sha256-{digest}" in html


def test_names_are_escaped(html: str, tree: Tree) -> None:
    assert "<b>bold</b>" not in html
    assert "<img src=x>" not in html and "img" not in tree.names
    assert "<script>alert" not in html and tree.names.count("script") == 2
    assert "&lt;b&gt;bold&lt;/b&gt;" in html


def test_maps_hold_the_names_as_data(html: str) -> None:
    text = html.split('id="maps-data">')[1].split("</script>")[0]
    maps = json.loads(text)
    assert len(maps) == 5
    first = next(iter(maps.values()))
    assert first["colors"]["cell_type"] == sorted(TYPES)
    assert len(first["xy"]) == len(INTEGRATION)
    codes = base64.b64decode(first["codes"]["batch"])
    assert len(codes) == 2 * first["n_drawn"] == 600


def test_every_status_and_reason_is_shown(html: str) -> None:
    ranking = html.split('<section id="ranking"')[1].split("</section>")[0]
    for (_, variant), (status, reason) in HOLES.items():
        assert f"{variant} " in ranking
        assert f'class="status {status}"' in ranking
        assert reason.replace("<", "&lt;").replace(">", "&gt;") in ranking
    runs = html.split('<section id="runs"')[1].split("</section>")[0]
    assert runs.count('data-choice="failed"') == 12
    assert runs.count('data-choice="not_applicable"') == 10
    assert runs.count('data-choice="not_run"') == 2
    assert "21 genes are not in the vocabulary" in runs


def test_demoted_metric_is_marked_with_the_reason(html: str) -> None:
    section = html.split('<section id="parts"')[1].split("</section>")[0]
    assert "Cell-type ASW†" in section
    assert "a constant embedding scores above hvg_pca" in section


def test_downloads_give_the_tables_back(html: str, results: Path) -> None:
    found = dict(re.findall(r'data-csv="(\w+)\.csv" href="data:application/gzip;base64,([^"]+)"', html))
    assert set(found) == {"scores", "summary", "runs", "plan", "differences", "findings", "confusion", "per_class"}
    scores = pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(found["scores"]))))
    truth = pd.read_parquet(results / "scores.parquet")
    assert list(scores.columns) == list(truth.columns)
    assert scores.value.to_numpy() == pytest.approx(truth.value.to_numpy(), nan_ok=True)
    assert HOSTILE in set(scores.variant)


def test_methods_cite(tree: Tree, html: str) -> None:
    assert "https://doi.org/10.1038/s41587-025-02743-4" in tree.links
    methods = html.split('<section id="methods"')[1].split("</section>")[0]
    assert "0.6 S_bio + 0.4 S_batch" in methods and "Adjusted Rand index" in methods


def test_same_results_same_bytes(results: Path, page: Path, tmp_path: Path) -> None:
    build(results, tmp_path / "again" / "report.html")
    assert (tmp_path / "again" / "report.html").read_bytes() == page.read_bytes()
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["report.html"]


def copy(results: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(results, tmp_path / "results"))


def test_corrupt_tables_are_named_and_the_rest_reported(results: Path, tmp_path: Path) -> None:
    folder = copy(results, tmp_path)
    (folder / "confusion.parquet").write_bytes(b"PAR1 but not really")
    (folder / "datasets.json").write_text("[{")
    scores = pd.read_parquet(folder / "scores.parquet").drop(columns="anchor0")
    scores.to_parquet(folder / "scores.parquet")
    build(folder, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    parsed(html)
    summary = html.split('<section id="summary"')[1].split("</section>")[0]
    for name in ("confusion.parquet", "datasets.json", "scores.parquet"):
        assert f"<code>{name}</code> cannot be read" in summary
    assert "column anchor0" in summary
    assert str(tmp_path) not in html
    assert "Use <strong>harmony</strong>" in summary


@pytest.mark.parametrize("kind", ["summary", "scores", "runs", "plan", "differences", "layout", "per_class"])
def test_a_missing_table_leaves_the_rest(results: Path, tmp_path: Path, kind: str) -> None:
    folder = copy(results, tmp_path)
    for path in folder.glob(f"{kind}.*"):
        path.unlink()
    build(folder, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    parsed(html)
    assert re.search(rf"<strong>{kind}\.\w+</strong> is missing", html) or re.search(rf"<code>{kind}\.", html)
    assert "scgpt-finetune" in html


def test_csv_stands_in_for_parquet(tmp_path: Path) -> None:
    folder = make(tmp_path / "results")
    pd.read_parquet(folder / "summary.parquet").to_csv(folder / "summary.csv", index=False)
    (folder / "summary.parquet").unlink()
    build(folder, tmp_path / "report.html")
    assert "Use <strong>harmony</strong>" in (tmp_path / "report.html").read_text()


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no runs, plan, scores or summary"):
        build(tmp_path, tmp_path / "report.html")
    with pytest.raises(FileNotFoundError, match="no results folder"):
        build(tmp_path / "absent", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
