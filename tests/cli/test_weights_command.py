"""`sceval weights list | fetch`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopback import serving
from sceval.cli.main import main

HEAD = "weights,source,file,url,sha256,licence,commercial_use"


def run(*words: str | Path):
    return CliRunner().invoke(main, ["weights", *map(str, words)])


@pytest.fixture
def sheet(tmp_path: Path):
    with serving() as server:
        server.files["/a.bin"] = b"content"
        digest = hashlib.sha256(b"content").hexdigest()
        path = tmp_path / "weights.csv"
        lines = [HEAD, f"toy,a test,a.bin,{server.url}/a.bin,{digest},Research only,no"]
        lines += [f"bad,a test,a.bin,{server.url}/a.bin,{digest[::-1]},MIT,yes"]
        path.write_text("\n".join(lines) + "\n")
        yield path


def test_fetch_puts_the_files_into_the_folder(sheet: Path, tmp_path: Path) -> None:
    done = run("fetch", "toy", "--to", tmp_path / "w", "--catalogue", sheet)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "w" / "toy" / "a.bin").read_bytes() == b"content"
    assert "Research only (no commercial use)" in done.output
    assert done.output.splitlines()[-1] == str(tmp_path / "w" / "toy")


def test_a_failure_ends_with_1_or_goes_into_the_receipt(sheet: Path, tmp_path: Path) -> None:
    done = run("fetch", "bad", "--to", tmp_path / "w", "--catalogue", sheet)
    assert done.exit_code == 1
    assert "SHA-256" in done.output
    receipt = tmp_path / "receipt.json"
    done = run("fetch", "bad", "--to", tmp_path / "w", "--catalogue", sheet, "--receipt", receipt)
    assert done.exit_code == 0
    told = json.loads(receipt.read_text())
    assert told["ok"] is False
    assert "expected" in told["reason"]
    assert not (tmp_path / "w" / "bad" / "a.bin").exists()
    run("fetch", "toy", "--to", tmp_path / "w", "--catalogue", sheet, "--receipt", receipt)
    told = json.loads(receipt.read_text())
    assert (told["ok"], told["fetched"][0]["file"]) == (True, "toy/a.bin")


def test_list(sheet: Path) -> None:
    lines = run("list", "--catalogue", sheet).output.splitlines()
    assert lines[1].split("  ")[0] == "toy"
    assert lines[1].endswith("Research only")
    listed = json.loads(run("list", "--json", "--catalogue", sheet).output)
    assert (listed[0]["commercial_use"], listed[0]["files"][0]["name"]) == ("no", "a.bin")


def test_the_catalogue_of_the_project_is_found() -> None:
    assert "scgpt-whole-human" in run("list").output
