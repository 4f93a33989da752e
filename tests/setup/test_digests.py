"""The models sheet by content: what a `docker` that we made up knows is what stands in the copy."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sceval.data.sheets import read_models

ROOT = Path(__file__).resolve().parents[2]
ID, DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "abc")
DOCKER = """#!/bin/bash
[ "$1 $2 $3" = "image inspect -f" ] || { echo "unexpected: $*" >&2; exit 9; }
while read -r name digests id; do
    if [ "$name" = "${@: -1}" ]; then echo "$digests $id"; exit 0; fi
done <"$KNOWN"
echo "Error response from daemon: ${TROUBLE:-No such image: ${@: -1}}" >&2
exit 1
"""
HEAD = "model,image,program,params\n"


def run(folder: Path, sheet: str, known: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a sheet with a Docker that knows these images: lines of name, digests as JSON, id."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "docker").write_text(DOCKER)
    (tools / "docker").chmod(0o755)
    (folder / "known").write_text(known)
    (folder / "models.csv").write_text(sheet)
    return subprocess.run(
        [sys.executable, ROOT / "setup/digests.py", folder / "local.csv", "--sheet", folder / "models.csv"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "KNOWN": str(folder / "known"), **env},
    )


def images(path: Path) -> list[str]:
    with path.open(newline="") as handle:
        return [row["image"] for row in csv.DictReader(handle)]


def test_the_project_s_sheet_differs_in_the_images_alone(tmp_path: Path) -> None:
    sheet = (ROOT / "assets/models.csv").read_text()
    (tmp_path / "before.csv").write_text(sheet)
    names = images(tmp_path / "before.csv")
    assert len(set(names)) > 20
    done = run(tmp_path, sheet, "".join(f"{name} [] {ID}\n" for name in set(names)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "local.csv").read_text() == "".join(
        line.replace(f",{name},", f",{ID},", 1)
        for line, name in zip(sheet.splitlines(keepends=True), ["", *names], strict=True)
    )
    assert not read_models(tmp_path / "local.csv").problems


@pytest.mark.parametrize(
    ("digests", "expected"),
    [
        ("[]", ID),
        ("null", ID),
        (f'["sceval/pca@{DIGEST}"]', f"sceval/pca@{DIGEST}"),
        (f'["elsewhere.example/pca@{OTHER}","sceval/pca@{DIGEST}"]', f"sceval/pca@{DIGEST}"),
        (f'["elsewhere.example/pca@{OTHER}","<none>@{OTHER}"]', ID),
    ],
)
def test_a_digest_of_the_same_repository_goes_before_the_id(tmp_path: Path, digests: str, expected: str) -> None:
    done = run(tmp_path, f"{HEAD}pca,sceval/pca:0.1.0,,{{}}\n", f"sceval/pca:0.1.0 {digests} {ID}\n")
    assert done.returncode == 0, done.stderr
    assert images(tmp_path / "local.csv") == [expected]
    assert ("1 of them by an id of this machine alone" in done.stdout) == (expected == ID)


def test_images_of_others_are_found_too_or_keep_their_name(tmp_path: Path) -> None:
    sheet = f"{HEAD}a,registry.example:5000/a:2,,{{}}\nb,my/b,,{{}}\nc,sceval/c@{DIGEST},,{{}}\nd,{ID},,{{}}\n"
    done = run(tmp_path, sheet, f'registry.example:5000/a:2 ["registry.example:5000/a@{OTHER}"] {ID}\n')
    assert done.returncode == 0, done.stderr
    assert images(tmp_path / "local.csv") == [f"registry.example:5000/a@{OTHER}", "my/b", f"sceval/c@{DIGEST}", ID]
    assert "my/b is not here" in done.stderr


def test_images_that_are_not_built_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    sheet = f"{HEAD}pca,sceval/pca:0.1.0,,{{}}\nknn,sceval/knn:0.1.0,,{{}}\nmlp,sceval/mlp:0.1.0,,{{}}\n"
    done = run(tmp_path, sheet, f"sceval/pca:0.1.0 [] {ID}\n")
    assert done.returncode == 1
    assert "make images NAMES='knn mlp'" in done.stderr
    assert not (tmp_path / "local.csv").exists()


def test_a_daemon_in_trouble_is_not_taken_for_an_image_that_is_missing(tmp_path: Path) -> None:
    done = run(tmp_path, f"{HEAD}pca,my/pca,,{{}}\n", "", TROUBLE="out of order")
    assert done.returncode == 1
    assert "out of order" in done.stderr
    assert not (tmp_path / "local.csv").exists()


def test_a_sheet_without_images_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "model,program\npca,x\n", "")
    assert done.returncode == 1
    assert "no column 'image'" in done.stderr
