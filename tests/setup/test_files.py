"""What must hold for the files of the repository: locks, image recipes, and nothing of one machine in them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), *sorted((ROOT / "containers").glob("*/*/requirements.txt"))]
DOCKERFILES = sorted((ROOT / "containers").rglob("Dockerfile"))
MODELS = sorted(path.parent.name for path in DOCKERFILES if path.parent.parent.name == "models")


def blocks(lock: Path) -> dict[str, str]:
    """Return package to its block of the lock file."""
    parts = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    return {re.split(r"[=\s]", part, maxsplit=1)[0]: part for part in parts}


def tracked_text() -> dict[str, str]:
    """Return path to text of every tracked file that is text."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = {}
    for name in filter(None, names.split("\0")):
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in data[:4096]:
            texts[name] = data.decode("utf-8", errors="replace")
    return texts


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_every_requirement_is_pinned_with_hashes(lock: Path) -> None:
    for name, block in blocks(lock).items():
        assert re.match(r"[^=\s]+==\S+", block), f"{name} is not pinned"
        assert "--hash=sha256:" in block, f"{name} has no hash"


def test_images_hold_the_versions_of_the_local_environment() -> None:
    everything = blocks(ROOT / "requirements/all.txt")
    for lock in LOCKS:
        if lock.name != "build.txt":
            for name, block in blocks(lock).items():
                assert everything[name].split()[0] == block.split()[0], f"{lock}: {name}"


def test_torch_is_in_one_lock_of_the_images() -> None:
    holding = [lock for lock in LOCKS if lock.name != "all.txt" and "torch" in blocks(lock)]
    assert holding == [ROOT / "requirements/torch.txt"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image_recipe(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"^\s*(ENTRYPOINT|USER)\b", text, re.MULTILINE), "Nextflow needs none, and any user id must do"
    for default in re.findall(r"^ARG (?:BASE|CORE)=sceval/\w+:(\S+)$", text, re.MULTILINE):
        assert default == PROJECT["version"]


@pytest.mark.parametrize("model", MODELS)
def test_model_image_links_a_program_of_the_package(model: str) -> None:
    assert f"sceval-model-{model}" in PROJECT["scripts"]
    assert f"ln -s sceval-model-{model} " in (ROOT / f"containers/models/{model}/Dockerfile").read_text()


def test_every_model_program_has_an_image() -> None:
    programs = {name.removeprefix("sceval-model-") for name in PROJECT["scripts"] if name.startswith("sceval-model-")}
    assert programs == set(MODELS)


@pytest.mark.parametrize("name", ["nextflow", "nextflow-lint"])
def test_jar_list_is_well_formed(name: str) -> None:
    lines = (ROOT / f"setup/{name}/SHA256SUMS").read_text().splitlines()
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.+-]+\.jar", line) for line in lines)
    assert len({line.split()[1] for line in lines}) == len(lines) >= 54


def test_no_registry_and_no_path_of_one_machine_in_the_repository() -> None:
    # Joined here, so that this file does not hold them itself.
    hosts = ["py" + "pi.org", "python" + "hosted.org", "repo1.ma" + "ven", "repo.ma" + "ven", "deb.deb" + "ian.org"]
    hosts += ["archive.ubu" + "ntu.com", "registry.np" + "mjs.org", "snapshot.deb" + "ian"]
    places = re.compile(r"(?<![\w.}\])$])/(?:" + "wo" + r"rk/(?:main|shared)|ro" + "ot/|ho" + r"me/(?!ec2-user))")
    found = []
    for name, text in tracked_text().items():
        found += [f"{name}: {host}" for host in hosts if host in text]
        found += [f"{name}: {match.group()}" for match in places.finditer(text)]
    assert found == []
