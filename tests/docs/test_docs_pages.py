"""The documentation is true where a machine can tell: links, names, and the pages and tables made from the code."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from sceval.cli.docs import NO, capabilities, pages, with_block
from sceval.cli.main import main
from sceval.data.sheets import DATASETS, MODELS
from sceval.tasks import IDS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "containers").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
PROSE = [ROOT / "README.md", *(DOCS / f"{name}.md" for name in ("usage", "tasks", "scoring", "add-a-dataset"))]
SCHEMA = json.loads((ROOT / "nextflow_schema.json").read_text())
PARAMETERS = {name: spec for group in SCHEMA["$defs"].values() for name, spec in group["properties"].items()}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors that Markdown renderers give to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))


def table(page: Path, heading: str) -> dict[str, list[str]]:
    """Return the rows of the first table below a heading, by every name in backticks in the first cell."""
    lines = page.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {name: row[1:] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


def profiles() -> set[str]:
    block = (ROOT / "nextflow.config").read_text().split("profiles {", 1)[1].split("\n}", 1)[0]
    return set(re.findall(r"^ +(\w+) \{", block, flags=re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    broken = []
    for target in links(page):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        files = [(page.parent / target.partition("#")[0]).resolve() for target in links(page) if "://" not in target]
        todo += [file for file in files if file.suffix == ".md"]
    assert {name_of(page) for page in DOCS.glob("*.md")} <= {name_of(page) for page in reached}


def test_what_is_made_from_the_code_is_current() -> None:
    stale = [name_of(path) for path, text in pages(DOCS).items() if path.read_text() != text]
    assert not stale, "run: make docs"


def test_the_command_writes_what_is_stale_and_nothing_else(tmp_path: Path) -> None:
    for name in ("README.md", "nextflow_schema.json", "assets", "docs"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    readme = tmp_path / "README.md"
    right = readme.read_text()
    readme.write_text(right.replace("| `harmony` |", "| `harmonie` |"))
    (tmp_path / "docs" / "contract.md").unlink()
    first = CliRunner().invoke(main, ["docs", str(tmp_path / "docs")])
    assert first.exit_code == 0, first.output
    assert {Path(line.removeprefix("written: ")).name for line in first.output.splitlines()} == {
        "README.md",
        "contract.md",
    }
    assert readme.read_text() == right
    assert (tmp_path / "docs" / "contract.md").read_text() == (DOCS / "contract.md").read_text()
    assert CliRunner().invoke(main, ["docs", str(tmp_path / "docs")]).output == ""


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="0 blocks between"):
        with_block("# A page", "capabilities", "a table")


def test_the_capability_table_follows_the_plan() -> None:
    lines = capabilities(ROOT / "assets" / "models.csv").splitlines()
    head, rows = lines[0], [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]
    regimes = [cell.strip(" `") for cell in head.strip("|").split("|")][3:]
    found = {(row[0], row[2], regime): cell for row in rows for regime, cell in zip(regimes, row[3:], strict=True)}
    assert {row[2] for row in rows} == {task.replace("_", " ") for task in IDS}
    assert found["scgpt", "batch integration", "scratch"] == "yes"
    assert found["scgpt", "batch integration", "zero_shot"] == "with weights"
    assert found["scgpt", "batch integration", "probe"] == NO  # heads alone would not move the embedding
    assert found["scgpt", "cell type annotation", "probe"] == "with weights"  # by way of zero_shot
    assert found["pca", "cell type annotation", "probe"] == "yes"
    assert found["majority", "cell type annotation", "scratch"] == "yes"
    assert ("majority", "batch integration", "scratch") not in found
    assert all(any(cell != NO for cell in row[3:]) for row in rows)


def test_a_program_of_someone_else_has_no_row(tmp_path: Path) -> None:
    sheet = tmp_path / "models.csv"
    sheet.write_text((ROOT / "assets" / "models.csv").read_text() + "theirs,theirs:1,theirs.py,{},,,model,,\n")
    assert "theirs" not in capabilities(sheet)


def test_usage_names_every_parameter_and_every_column_of_the_sheets() -> None:
    named = table(DOCS / "usage.md", "Parameters")
    assert [name.removeprefix("--") for name in named if name.startswith("--")] == list(PARAMETERS)
    for heading, columns in (("The datasets sheet", DATASETS), ("The models sheet", MODELS)):
        assert set(table(DOCS / "usage.md", heading)) == {column.name for column in columns}


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_parameters_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`--([a-z]\w*)", text))
    for line in text.splitlines():
        if line.startswith("nextflow run"):
            named |= set(re.findall(r" --([a-z]\w*)", line))
    assert named <= set(PARAMETERS)


def test_profiles_of_the_tables_are_those_of_the_configuration() -> None:
    assert set(table(DOCS / "usage.md", "Profiles")) == profiles()
    assert set(table(ROOT / "README.md", "Profiles and executors")) == profiles()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_profiles_and_targets_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    named = {name for words in re.findall(r"-profile ([\w,]+)", text) for name in words.split(",") if name}
    assert named <= profiles()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, flags=re.MULTILINE)) <= targets


def test_the_picture_is_whole_and_readable_in_the_dark() -> None:
    root = ET.parse(ROOT / "assets" / "flow.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title") is not None
    style = root.find(f"{space}style").text
    used = {name for node in root.iter() for name in node.get("class", "").split()}
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for name in used:
        assert f".{name}" in light
        assert f".{name}" in dark, f"{name} keeps its light color in the dark"
    processes = {folder.name.upper() for folder in (ROOT / "modules").iterdir() if folder.is_dir()}
    assert processes == {node.text for node in root.iter(f"{space}text") if node.get("class") == "name"}


def test_the_licence_is_the_declared_one() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
